// The options of `raymesh dev`. Read once at start-up, by one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/config/options.hpp"

namespace raymesh::cli {

/// Everybody knows it, so it opens nothing that is reachable from outside.
inline constexpr const char* kWellKnownKey = "dc_local_dev";

struct DevOptions {
  std::string data_dir = ".raymesh";
  bool ephemeral = false;
  std::string listen = "localhost";
  int64_t port = 4000;
  int64_t realtime_port = 4004;
  int64_t raystream_port = 4100;
  int64_t ops_port = 9100;
  std::string api_key = kWellKnownKey;
  std::string project = "dev";
  std::string postgres_url;             // a secret
  std::vector<std::string> redis_urls;  // one for both stores, or cache and state
  std::string postgres_programs = "/usr/lib/postgresql/15/bin";
  std::string redis_program = "/usr/bin/redis-server";
  std::string ready_file;
  bool json = false;
  std::chrono::milliseconds drain{5'000};
  std::string log_level = "warn";

  void declare(config::Options& options);
  /// What the options cannot say one by one. Error: invalid_request.
  Status check() const;
};

}  // namespace raymesh::cli
