// The auth service: configuration, wiring, start and stop. Owned by host::run or `raymesh dev`; one
// thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "libs/host/app.hpp"

namespace raymesh::auth {

struct Config {
  std::string listen = "127.0.0.1:5001";  // empty: in-process only
  std::string postgres_url;               // login of the role raymesh_auth; a secret
  int64_t postgres_sessions = 4;
  std::vector<std::string> token_keys;  // "kid:secret", the first one signs; secrets
  std::chrono::milliseconds token_ttl = std::chrono::hours(24 * 7);
  int64_t hash_threads = 2;
  int64_t hash_queue = 64;
  // Argon2id's memory: OWASP's 19 MiB unless somebody knows better.
  uint64_t hash_memory = 19'456 << 10;
  int64_t hash_passes = 2;
  // The throttle of failed logins: of one account, and of one client address in one project.
  int64_t login_burst = 10;
  std::chrono::milliseconds login_refill{30'000};
  int64_t login_address_burst = 200;
  std::chrono::milliseconds login_address_refill{500};

  void declare(config::Options& options);
};

using App = host::ServiceApp;

/// `env` outlives the app.
std::unique_ptr<App> make_app(const Config& config, host::Env& env);

/// For main.cpp.
host::Program program();

}  // namespace raymesh::auth
