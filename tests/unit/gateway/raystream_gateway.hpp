// A gateway for tests of raystream that need none of its services: what it does with strangers.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "libs/actor/system.hpp"
#include "libs/raystream/client_handshake.hpp"
#include "libs/raystream/server_keys.hpp"
#include "services/gateway/app.hpp"
#include "tests/support/raystream_client.hpp"

namespace raymesh::testing {

/// Over real sockets; none of its services is there.
class Gateway {
 public:
  explicit Gateway(gateway::Config config = {}) {
    config.listen = config.raystream.listen = "127.0.0.1:0";
    config.threads = 2;
    config.timer_tick = std::chrono::milliseconds(5);
    config.raystream.keys = {pairs_.begin(), pairs_.end()};
    // Nothing listens on port 1.
    config.auth_peers = config.storage_peers = config.cache_peers =
        config.realtime_peers = {"127.0.0.1:1"};
    common_.cluster_key = "0123456789abcdef0123456789abcdef";
    app_ = gateway::make_app(config, env_);
    const Status started = app_->start();
    EXPECT_TRUE(started.ok()) << (started.ok() ? "" : started.error().message);
  }
  ~Gateway() { stop(); }
  void stop() {
    if (app_) app_->stop(std::chrono::seconds(5));
    app_.reset();
  }

  int port(Transport transport) const {
    return transport == Transport::kTcp ? app_->raystream_port() : app_->port();
  }
  raystream::ClientOptions client(size_t key = 0) const {
    return {.pinned = {{keys_.keys()[key].id, keys_.keys()[key].key.public_key()}}};
  }
  double metric(const std::string& line) {
    const std::string text = registry_->render();
    const size_t at = text.find("\n" + line + " ");
    return at == std::string::npos ? 0 : std::stod(text.substr(at + line.size() + 2));
  }
  double handshakes(const std::string& outcome) {
    return metric("raymesh_gateway_raystream_handshakes_total{outcome=\"" + outcome + "\"}");
  }
  // Metrics follow a moment after what a client sees.
  bool becomes(const std::string& line, double value) {
    for (const auto start = std::chrono::steady_clock::now();
         std::chrono::steady_clock::now() - start < std::chrono::seconds(30);
         std::this_thread::sleep_for(std::chrono::milliseconds(1)))
      if (metric(line) == value) return true;
    return false;
  }

 private:
  const std::vector<std::string> pairs_{raystream::ServerKeys::generate("first"),
                                        raystream::ServerKeys::generate("second")};
  const raystream::ServerKeys keys_ = raystream::ServerKeys::parse(pairs_).value();
  host::CommonConfig common_;
  std::shared_ptr<metrics::Registry> registry_ = metrics::Registry::create();
  actor::System actors_{2};
  host::Env env_{common_, *registry_, actors_.get()};
  std::unique_ptr<gateway::App> app_;
};

}  // namespace raymesh::testing
