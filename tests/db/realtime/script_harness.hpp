// The scripts of the redis broker on a Redis of the test's own, called as a node calls them.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/redis/client.hpp"
#include "libs/redis/script.hpp"
#include "services/realtime/redis_scripts.hpp"
#include "services/realtime/topic_message.hpp"
#include "tests/support/io_thread.hpp"
#include "tests/support/redis_fixture.hpp"

namespace raymesh::realtime {

class ScriptTest : public ::testing::Test {
 protected:
  static constexpr const char* kChannel = "p/room";
  static constexpr uint64_t kEpoch = 0xaaaaaaaaaaaaaaaa;
  static constexpr uint64_t kOtherEpoch = 0xbbbbbbbbbbbbbbbb;

  explicit ScriptTest(std::vector<std::string> options = {});

  /// Makes the connection anew, with its handshake.
  void connect();

  template <class... Args>
  redis::Reply run(const redis::Script& script, const Args&... args) {
    Result<redis::Reply> reply = try_run(script, args...);
    EXPECT_TRUE(reply.ok()) << reply.error().message;
    return reply.ok() ? *std::move(reply) : redis::Reply{};
  }
  template <class... Args>
  Result<redis::Reply> try_run(const redis::Script& script, const Args&... args) {
    redis::Command tail;
    tail.arg(0);
    (tail.arg(args), ...);
    return eval(script, std::move(tail));
  }
  /// The answer as integers.
  static std::vector<int64_t> integers(const redis::Reply& reply);

  struct History {
    size_t messages = 0;
    size_t bytes = 0;
    int64_t ttl_ms = 60'000;
  };
  struct Sent {
    std::string epoch;
    int64_t last = 0;
    int64_t delivered = 0;
  };
  Sent publish(const std::vector<std::string>& payloads, History history, uint64_t epoch = kEpoch);
  Sent publish(const std::vector<std::string>& payloads) { return publish(payloads, History()); }
  /// "offset=payload ..."
  std::string read_history(uint64_t epoch, int64_t after, int limit = 1000, int bytes = 1 << 20,
                           int64_t ttl_ms = 60'000);

  /// A node with a lease.
  std::string node(int lease_ms = 60'000);
  void end_lease(const std::string& node);
  /// The id under which it is present, or the number that is answered instead.
  std::string enter(const std::string& node, const std::string& id,
                    const std::string& identity = "", const std::string& token = "",
                    bool earlier = false);
  int64_t leave(const std::string& node, const std::string& id, const std::string& token = "",
                int handover_ms = 0, const std::string& before = "");
  static std::string json_of(const std::string& id);
  struct Page {
    int64_t count = 0;
    int64_t identities = 0;
    PresenceCursor next;
    std::vector<std::string> members;  // ids
  };
  Page presence(int limit = 100, const PresenceCursor& from = {});
  /// Sweeps until nothing is left; how many calls it took.
  int sweep(int budget = 200);
  std::string keys();
  bool wait(const std::function<bool()>& condition, std::chrono::milliseconds timeout);

  // Of the caller's ring: its version, and since when the channel is here by it.
  int ring_ = 0;
  int home_ = 0;
  test::RedisServer redis_;
  test::IoThread io_;
  std::unique_ptr<redis::Client> client_;

 private:
  Result<redis::Reply> eval(const redis::Script& script, redis::Command tail);
};

/// Everything that is published to a channel's topic meanwhile, as text:
/// "messages <first>:<payload>,<payload>", "join <id>", "leave <id>".
class TopicLog {
 public:
  TopicLog(const test::RedisServer& redis, const std::string& topic);
  ~TopicLog();
  /// Waits until there are so many.
  std::vector<std::string> take(size_t count);

 private:
  struct State;
  std::shared_ptr<State> state_;
  test::IoThread io_;
};

}  // namespace raymesh::realtime
