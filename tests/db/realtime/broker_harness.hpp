// Realtime nodes without sockets: the redis broker, real channel actors, and a thread in the place
// of a shard that writes down what it is handed. Several of them on one Redis are a cluster.
#pragma once

#include <gtest/gtest.h>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "services/realtime/channel_actor.hpp"
#include "services/realtime/channel_registry.hpp"
#include "services/realtime/redis_broker.hpp"
#include "tests/support/link_proxy.hpp"
#include "tests/support/redis_fixture.hpp"

namespace raymesh::realtime {

class TestNode {
 public:
  struct Options {
    std::vector<std::string> urls;
    std::vector<std::string> rules;
    std::chrono::milliseconds presence_timeout{3'000};
    ConnectionLimits limits;
  };
  /// What a member of a channel has been handed: messages by offset, and what was said to be lost.
  struct Seen {
    std::vector<uint64_t> offsets;
    std::vector<std::string> payloads;
    std::vector<std::string> events;  // "join <id>", "leave <id>", "gap"
    std::vector<Position> lost;       // up to where
    std::string broken;               // the first offset that did not follow on what was before
    Position at;
    size_t at_count = 0;  // messages since the last Lost
  };

  TestNode(caf::actor_system& actors, Options options);
  ~TestNode();

  Broker& broker() { return *broker_; }
  RedisBroker& redis() { return *broker_; }
  bool wait_ready(std::chrono::milliseconds timeout = std::chrono::seconds(20));

  /// Makes a member; waits for the answer.
  Result<Joined> join(const std::string& channel, const std::string& id,
                      const std::string& identity = "",
                      std::optional<Position> since = std::nullopt, const std::string& token = "");
  void leave(const std::string& channel, const std::string& id,
             std::chrono::milliseconds handover = std::chrono::milliseconds(0));
  ConnectionId connection(const std::string& channel, const std::string& id);
  std::future<Result<Published>> begin_publish(const std::string& channel,
                                               const std::vector<std::string>& payloads,
                                               ConnectionId origin = {});
  Result<Published> publish(const std::string& channel, const std::vector<std::string>& payloads,
                            ConnectionId origin = {}) {
    return begin_publish(channel, payloads, origin).get();
  }
  Result<PresencePage> presence(const std::string& channel, size_t limit = 1000,
                                const std::string& cursor = "");
  Result<HistoryPage> history(const std::string& channel, Position since, size_t limit);
  Result<RevokeReport> revoke(const Revocation& revocation);
  Status admit(const MemberPtr& member);

  Seen seen(const std::string& channel);
  /// Waits until what the channel has been handed makes the condition true.
  bool wait(const std::string& channel, const std::function<bool(const Seen&)>& condition,
            std::chrono::milliseconds timeout = std::chrono::seconds(20));

  /// What was revoked here; each one "closes" so many connections.
  std::vector<std::string> revoked();
  uint64_t closes_each = 1;
  /// Whether who is still a member leaves when the node ends, as those do whose sockets it closes;
  /// else the broker waits for them in vain, and ends without.
  bool leaves_at_end = true;
  /// Runs in revocations, on the broker's thread: whatever blocks here stops the broker.
  std::function<void()> on_revoke;

 private:
  struct Place {
    MemberPtr member;
    ChannelPtr channel;
  };
  void drain();
  void take(InboxItem& item);
  void take_text(const std::string& channel, std::string_view text);

  static constexpr const char* kProject = "p";
  std::shared_ptr<ChannelOutlets> outlets_;
  std::shared_ptr<RedisBroker> broker_;
  std::unique_ptr<ChannelRegistry> registry_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Seen> seen_;                                   // guarded by mutex_
  std::map<uint32_t, std::shared_ptr<std::promise<Joined>>> joining_;  // by ticket; by mutex_
  std::vector<std::string> revoked_;                                   // guarded by mutex_
  std::map<std::string, Place> places_;
  uint32_t last_ = 0;
  std::atomic<bool> stop_{false};
  std::thread shard_;
};

class BrokerTest : public ::testing::Test {
 protected:
  explicit BrokerTest(std::vector<std::string> redis_options = {});
  std::unique_ptr<TestNode> node(const std::string& url = "",
                                 std::vector<std::string> rules = {"kept* history=1000"});
  /// The ids that a presence read shows, sorted; empty when it fails.
  static std::vector<std::string> ids(TestNode& node, const std::string& channel);
  static bool wait(const std::function<bool()>& condition,
                   std::chrono::milliseconds timeout = std::chrono::seconds(20));

  test::RedisServer redis_;
  caf::actor_system_config config_;
  std::unique_ptr<caf::actor_system> actors_;
};

}  // namespace raymesh::realtime
