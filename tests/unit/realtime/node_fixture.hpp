// A realtime node in the test's process, on a free port, and clients for it.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "libs/actor/system.hpp"
#include "libs/crypto/jwt.hpp"
#include "services/realtime/realtime_node.hpp"
#include "tests/support/ws_client.hpp"

namespace raymesh::realtime {

using testing::WsClient;

class NodeFixture : public ::testing::Test {
 protected:
  static constexpr const char* kProject = "p1";

  NodeFixture()
      : registry_(metrics::Registry::create()),
        tokens_(std::move(crypto::KeyRing::parse(
                              std::vector<std::string>{crypto::KeyRing::generate("k1")}))
                    .value(),
                TokenLimits{}) {
    config_.listen = "127.0.0.1:0";
    config_.threads = 2;
    config_.limits.one_shard_up_to = 0;  // so that few connections try what lies between shards
  }

  void start() {
    auto node = RealtimeNode::start(config_, tokens_, actors_.get(), *registry_);
    ASSERT_TRUE(node.ok()) << node.error().message;
    node_ = std::move(node).value();
  }

  std::string token(std::vector<std::string> channels, const std::string& identity = {},
                    uint32_t ttl = 600, const std::string& project = kProject) {
    Grant grant;
    grant.project = project;
    grant.channels = std::move(channels);
    grant.identity = identity;
    return tokens_.mint(std::move(grant), ttl, crypto::jwt::unix_now()).value();
  }
  WsClient connect(std::vector<std::string> channels, const std::string& identity = {}) {
    return WsClient::open(node_->port(), "/?token=" + token(std::move(channels), identity));
  }

  /// As the gRPC method does, and waits for the answer.
  size_t publish(const std::string& channel, const std::string& payload) {
    return await<Published>(
               [&](auto done) { node_->publish(kProject, channel, payload, std::move(done)); })
        .delivered;
  }
  std::string presence(const std::string& channel) {
    return await<PresencePage>([&](auto done) {
             node_->presence(kProject, channel, {10'000, {}}, std::move(done));
           })
        .members_json;
  }

  /// Waits until the condition holds.
  static void eventually(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "the condition never held";
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  double metric(const std::string& name) {
    const std::string text = registry_->render();
    const size_t at = text.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
  }

  static std::string publish_frame(const std::string& channel, const std::string& payload) {
    return R"({"type":"publish","channel":")" + channel + R"(","payload":)" + payload + "}";
  }
  static std::string message(const std::string& channel, const std::string& payload) {
    return R"({"type":"message","channel":")" + channel + R"(","payload":)" + payload + "}";
  }

  std::shared_ptr<metrics::Registry> registry_;
  actor::System actors_;
  RealtimeTokens tokens_;
  NodeConfig config_;
  std::unique_ptr<RealtimeNode> node_;

  template <class T, class Ask>
  T await(Ask ask) {
    auto state = std::make_shared<Waiter<T>>();
    ask(UniqueFunction<void(Result<T>)>([state](Result<T> r) {
      const std::lock_guard lock(state->mutex);
      state->result = std::make_unique<Result<T>>(std::move(r));
      state->ready.notify_all();
    }));
    std::unique_lock lock(state->mutex);
    if (!state->ready.wait_for(lock, std::chrono::seconds(10), [&] { return !!state->result; })) {
      ADD_FAILURE() << "no answer";
      return T{};
    }
    if (!state->result->ok()) {
      ADD_FAILURE() << state->result->error().message;
      return T{};
    }
    return std::move(*state->result).value();
  }

 private:
  template <class T>
  struct Waiter {
    std::mutex mutex;
    std::condition_variable ready;
    std::unique_ptr<Result<T>> result;
  };
};

}  // namespace raymesh::realtime
