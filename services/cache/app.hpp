// The cache service: configuration, wiring, start and stop. Owned by host::run or `raymesh dev`;
// one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "libs/host/app.hpp"

namespace raymesh::cache {

struct Config {
  std::string listen = "127.0.0.1:5003";  // empty: in-process only
  std::vector<std::string> cache_urls = {"127.0.0.1:6379"};
  std::string cache_password;
  std::vector<std::string> state_urls = {"127.0.0.1:6380"};
  std::string state_password;
  uint64_t quota = 256u << 20;
  uint64_t max_value = 1u << 20;

  void declare(config::Options& options);
};

using App = host::ServiceApp;

/// `env` outlives the app.
std::unique_ptr<App> make_app(const Config& config, host::Env& env);

/// For main.cpp.
host::Program program();

}  // namespace raymesh::cache
