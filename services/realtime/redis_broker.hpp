// The broker of many nodes: messages go through Redis' sharded pub/sub, and one script gives them
// their place, keeps history and counts. Each channel's partition has its primary, by consistent
// hashing. All state is in RedisPrimaries, ConnectionCounts and RevocationExchange, on a thread of
// the broker's own, where channel actors that it wakes run, too; publishing goes to Redis' client
// from the caller's thread.
//
// Owned by the node, made before its first connection. Thread-safe, as Broker says.
#pragma once

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libs/net/io_threads.hpp"
#include "services/realtime/broker.hpp"
#include "services/realtime/redis_primaries.hpp"

namespace caf {
class actor_system;
}

namespace raymesh::realtime {

class ConnectionCounts;
class RevocationExchange;

struct RedisBrokerConfig {
  std::vector<std::string> urls;
  std::string password;  // of those urls that name none
  /// Within this time the members of a node that was killed are gone.
  std::chrono::milliseconds presence_timeout{10'000};
  // Of the subscription; see redis::SubscriberConfig.
  std::chrono::milliseconds ping_interval{1'000};
  std::chrono::milliseconds silence{3'000};

  /// Errors: invalid_value, saying which url is wrong and why.
  Status check() const;
};

struct RedisBrokerStats {
  size_t topics = 0;
  uint64_t messages = 0;  // that the subscriptions have brought
  uint64_t bytes = 0;
  uint64_t link_breaks = 0;
  uint64_t publish_failures = 0;
  uint64_t ring = 0;                      // version of the list of primaries
  std::chrono::microseconds last_lag{0};  // from this node's publish until it came back
};

class RedisBroker final : public Broker {
 public:
  /// `config` has passed check().
  RedisBroker(const RedisBrokerConfig& config, caf::actor_system& actors, BrokerNode node);
  /// Stops at once, if stop() was not called.
  ~RedisBroker() override;

  void publish(const std::string& project, const std::string& name, const ChannelPtr& local,
               std::shared_ptr<const PublishBatch> batch, Answer<Published> done) override;
  void attach(const ChannelPtr& channel, Answer<Position> done) override;
  void detach(const ChannelPtr& channel) override;
  void enter(const ChannelPtr& channel, const MemberPtr& member, Answer<std::string> done) override;
  void leave(const ChannelPtr& channel, const MemberPtr& member,
             std::chrono::milliseconds handover) override;
  void watch(const ChannelPtr& channel, bool wanted) override;
  void refreshed(const ChannelPtr& channel, uint64_t number, Answer<Position> done) override;
  void position(const ChannelPtr& channel, Answer<Position> done) override;
  void history(const std::string& project, const std::string& name, const ChannelPtr& local,
               Position since, size_t limit, Answer<HistoryPage> done) override;
  void presence(const std::string& project, const std::string& name, const ChannelPtr& local,
                PresenceQuery query, Answer<PresencePage> done) override;
  void admit(const MemberPtr& member, Answered done) override;
  void dismiss(const MemberPtr& member) override;
  void revoke(Revocation revocation, Answer<RevokeReport> done) override;
  bool history_is_local() const override { return false; }
  Status ready() const override;
  void stop(std::chrono::milliseconds grace) override;

  RedisBrokerStats stats() const;
  /// Of the node, for as long as the process lives.
  NodeId node() const { return shared_.node; }

 private:
  struct Loop;  // the thread's own: its actors and its timer
  struct Outgoing;
  struct HistoryRead;
  struct PresenceRead;

  void run(UniqueFunction<void()> task);
  void tick();
  void run_actors();
  const ChannelRule& rule(const std::string& name, const ChannelPtr& local) const;
  RedisPrimary& at(const std::string& key) { return primaries_->view().at(key); }
  RedisPrimary& at(const Channel& channel);
  void send(std::unique_ptr<Outgoing> out);
  void send_again(std::unique_ptr<Outgoing> out, bool ok);
  Result<Published> published(const Outgoing& out, const Result<redis::Reply>& reply);
  void read_history(std::shared_ptr<HistoryRead> read);
  void read_presence(std::shared_ptr<PresenceRead> read);

  const BrokerNode node_;
  net::IoThreads io_;
  RedisPrimary::Shared shared_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<RedisPrimaries> primaries_;
  std::unique_ptr<ConnectionCounts> connections_;
  std::unique_ptr<RevocationExchange> revocations_;
  std::atomic<bool> stopped_{false};
  std::optional<std::promise<void>> all_left_;  // who stops waits for it; the thread's own

  // For ready() and stats(), by tick().
  std::atomic<bool> ready_{false};
  std::atomic<uint64_t> topics_{0}, messages_{0}, bytes_{0}, breaks_{0}, ring_{0};
  std::atomic<uint64_t> publish_failures_{0};
  std::atomic<int64_t> lag_us_{0};
};

}  // namespace raymesh::realtime
