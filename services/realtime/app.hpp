// The realtime service: configuration, wiring, start and stop. Owned by host::run or `raymesh dev`;
// one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "libs/host/app.hpp"

namespace raymesh::realtime {

struct Config {
  std::string listen = "127.0.0.1:5004";         // gRPC; empty: in-process only
  std::string public_listen = "127.0.0.1:4004";  // WebSocket
  std::vector<std::string> peers;                // all realtime nodes; empty: nobody looks
  std::string public_url;                        // empty: made from public_listen
  std::vector<std::string> token_keys;           // "kid:secret", the first one signs; secrets
  std::string tls_cert, tls_key;                 // of the public port; empty: plain
  std::string broker = "memory";                 // or "redis"
  std::vector<std::string> state_urls = {"127.0.0.1:6380"};
  std::string state_password;
  std::chrono::milliseconds presence_timeout{10'000};
  int64_t threads = 0;  // 0: one per core
  int64_t max_connections = 50'000;
  int64_t max_channels = 100'000;
  int64_t max_token_channels = 100;
  int64_t max_connection_channels = 100;
  int64_t max_identity_connections = 0;
  int64_t max_project_connections = 0;
  std::vector<std::string> channel_rules;
  std::chrono::milliseconds max_token_ttl = std::chrono::hours(24);
  uint64_t max_message_bytes = 64 << 10;
  uint64_t max_backlog_bytes = 1 << 20;
  uint64_t max_frame_memory = 256 << 20;
  uint64_t max_queued_bytes = 64 << 20;
  int64_t publish_rate = 10'000;
  int64_t accept_rate = 20'000;
  bool compression = false;
  std::chrono::milliseconds handshake_timeout{10'000};
  std::chrono::milliseconds ping_interval{30'000};

  void declare(config::Options& options);
};

class App : public host::ServiceApp {
 public:
  /// Of the public port, when `public_listen` asked for port 0.
  virtual int public_port() const = 0;
};

/// `env` outlives the app.
std::unique_ptr<App> make_app(const Config& config, host::Env& env);

/// For main.cpp.
host::Program program();

}  // namespace raymesh::realtime
