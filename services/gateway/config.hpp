// The gateway's options (section "gateway") and their bounds. Filled at start-up, read-only
// afterwards.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/config/options.hpp"
#include "services/gateway/raystream_config.hpp"

namespace raymesh::gateway {

struct Config {
  std::string listen = "127.0.0.1:4000";
  std::string tls_certificate;  // PEM files of the public port; both or none
  std::string tls_key;
  int64_t threads = 0;  // 0: as many as cores

  std::vector<std::string> auth_peers{"127.0.0.1:5001"};
  std::vector<std::string> storage_peers{"127.0.0.1:5002"};
  std::vector<std::string> cache_peers{"127.0.0.1:5003"};
  std::vector<std::string> realtime_peers{"127.0.0.1:5004"};

  int64_t max_connections = 20'000;
  double accepts_per_second = 0;  // 0: no bound
  uint64_t max_header_bytes = 16 << 10;
  int64_t max_header_fields = 100;
  uint64_t max_body = 8 << 20;
  uint64_t max_migration = 4 << 20;
  uint64_t max_body_memory = 256 << 20;  // bodies that are being received, all connections

  std::chrono::milliseconds header_timeout{10'000};
  std::chrono::milliseconds body_timeout{60'000};
  std::chrono::milliseconds idle_timeout{75'000};
  std::chrono::milliseconds write_timeout{60'000};
  std::chrono::milliseconds timer_tick{1'000};  // how exact the four above are

  std::chrono::milliseconds call_timeout{9'000};  // below the 10 s at which the SDK gives up
  std::chrono::milliseconds migration_timeout{60'000};

  int64_t trusted_proxy_hops = 0;
  bool rate_limits = true;
  double key_rate = 2'000;  // requests per second of one API key
  double key_burst = 4'000;
  double address_rate = 500;  // of one API key from one client address
  double address_burst = 1'000;
  int64_t max_rate_buckets = 100'000;

  bool access_log = true;

  RaystreamConfig raystream;

  void declare(config::Options& options);
  /// What the options cannot say one by one.
  Status check() const;
};

}  // namespace raymesh::gateway
