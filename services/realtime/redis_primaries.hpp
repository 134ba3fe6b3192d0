// The Redis primaries of the redis broker, and the ring that says which of them holds a channel.
// The ring can change while everything runs:
//   a newer version is heard of -> its list is read -> it is written to every primary of the list
//   before and of the new one, so that from then on none of them takes anything from a node that
//   does not know it -> when all have it, and the new ones are there, the node goes over to it.
// Until then the node goes on as before; what is refused meanwhile waits here and is repeated.
//
// Owned by RedisBroker, used on its thread, but for view() and holding().
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/unique_function.hpp"
#include "libs/redis/client.hpp"
#include "services/realtime/redis_primary.hpp"
#include "services/realtime/ring_record.hpp"

namespace raymesh::realtime {

class RedisPrimaries {
 public:
  struct Config {
    std::vector<std::string> urls;  // good ones
    std::string password;           // of those urls that name none, and of those that come later
    std::chrono::milliseconds ping_interval;
    std::chrono::milliseconds silence;
  };
  struct View {
    RingView ring;
    std::vector<RedisPrimary*> primaries;  // by the ring's index

    RedisPrimary& at(std::string_view key) const { return *primaries[ring.pick(key)]; }
    bool has(const RedisPrimary* primary) const;
  };
  using Adopted = std::function<void(const View& before, const View& now)>;
  using Waiter = UniqueFunction<void(bool ok)>;

  /// `shared` outlives it. `adopted` runs when channels are asked for at their new places already,
  /// before they are moved.
  RedisPrimaries(boost::asio::io_context& context, Config config, RedisPrimary::Shared& shared,
                 Adopted adopted);
  ~RedisPrimaries();

  /// Any thread; stays good as long as this.
  const View& view() const { return *current_.load(std::memory_order_acquire); }
  /// Any thread. True for the moment of going over: what is published now goes through hold(), so
  /// that it stays behind what was refused.
  bool holding() const { return holding_.load(std::memory_order_acquire); }

  /// A primary has told its ring's version.
  void told(RedisPrimary& primary, uint64_t version);
  /// Something of this ring's version was refused: `again` runs when there is a newer one, or with
  /// false when that takes too long.
  void wait(RedisPrimary& primary, uint64_t version, Waiter again);
  void hold(Waiter later);

  /// That are in use, or going out of it.
  const std::vector<RedisPrimary*>& open() const { return open_; }
  /// All of the ring are, and the node has found out which ring that is.
  bool ready() const;
  void tick();
  void close();

 private:
  struct Node {
    std::string url;
    std::unique_ptr<redis::Client> client;
    std::unique_ptr<RedisPrimary> primary;
    std::optional<std::chrono::steady_clock::time_point> retired;  // when at the latest it closes
    bool closed = false;
  };
  struct Fence {
    Node* node;
    bool asking = false;
    bool done = false;
  };
  struct Next {
    RingRecord record;
    std::string text;
    std::vector<Fence> fences;
    size_t barrier = 0;  // answers that are still to come
    std::optional<std::chrono::steady_clock::time_point> barrier_until;
  };
  struct Waiting {
    Waiter again;
    std::chrono::steady_clock::time_point deadline;
  };

  Node& obtain(const std::string& url);
  Node* find(const RedisPrimary& primary);
  const View& make_view(const RingRecord& record);
  uint64_t newest() const;
  void load(RedisPrimary& from);
  void take(RingRecord record);
  void advance();
  void fence(Fence& fence);
  void adopt();
  void list_open();

  boost::asio::io_context& context_;
  const Config config_;
  RedisPrimary::Shared& shared_;
  const Adopted adopted_;
  std::vector<std::unique_ptr<Node>> nodes_;        // also closed ones: they may be referred to
  std::vector<std::unique_ptr<const View>> views_;  // also old ones
  std::vector<RedisPrimary*> open_;
  std::atomic<const View*> current_{nullptr};
  std::atomic<bool> holding_{false};
  RingRecord record_;
  bool loading_ = false;
  std::unique_ptr<Next> next_;
  std::deque<Waiting> refused_;
  std::deque<Waiting> held_;
  bool closed_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

}  // namespace raymesh::realtime
