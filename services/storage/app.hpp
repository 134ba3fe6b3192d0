// The storage service: configuration, wiring, start and stop. Owned by host::run or `raymesh dev`;
// one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "libs/host/app.hpp"

namespace raymesh::storage {

struct Config {
  std::string listen = "127.0.0.1:5002";  // empty: in-process only
  std::string postgres_url;               // the server: host, port, dbname, sslmode; no login
  std::string system_url;                 // login of the role raymesh_storage; a secret
  std::string project_role_secret;        // all projects' passwords come from it
  int64_t pg_threads = 1;
  int64_t max_connections = 64;
  int64_t connections_per_project = 8;
  std::chrono::milliseconds statement_timeout{10'000};
  std::chrono::milliseconds lock_timeout{5'000};
  std::chrono::milliseconds connection_wait{5'000};
  uint64_t max_reply = 16u << 20;
  int64_t migration_threads = 2;
  std::chrono::milliseconds migration_timeout{60'000};

  void declare(config::Options& options);
};

using App = host::ServiceApp;

/// `env` outlives the app.
std::unique_ptr<App> make_app(const Config& config, host::Env& env);

/// For main.cpp.
host::Program program();

}  // namespace raymesh::storage
