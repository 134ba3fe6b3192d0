// The PostgreSQL that `raymesh dev` runs for itself: made by initdb in the data folder, reached by
// a unix socket and a password only, durable like a real one (fsync, synchronous_commit). Blocking;
// the command's thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>

#include "apps/raymesh/data_dir.hpp"
#include "apps/raymesh/kept_server.hpp"
#include "libs/base/result.hpp"

namespace raymesh::cli {

class PrivatePostgres {
 public:
  struct Config {
    std::string programs;  // folder of initdb and postgres
    std::string password;  // of the superuser
    std::filesystem::path sockets;
    bool throw_away = false;  // the folder goes in the end: a new server's files need no fsync
    std::function<void()> given_up;
  };

  /// Makes the server's folder when there is none, and begins to start it. Errors: invalid_request
  /// (no such programs, another major version), unavailable.
  static Result<std::unique_ptr<PrivatePostgres>> begin(DataDir& folder, Config config);

  /// Until it answers and the database is there.
  Status wait_ready();
  /// Until a new server's files are on the disk. Before that nothing may be acknowledged.
  Status wait_durable();
  void stop(std::chrono::milliseconds grace) { server_->stop(grace); }

  /// A libpq URL of the database, for the superuser; a secret.
  std::string admin_url() const;

 private:
  PrivatePostgres() = default;

  Config config_;
  std::filesystem::path complete_;  // this file says that initdb ran to its end
  std::future<Status> synced_;
  std::unique_ptr<KeptServer> server_;
};

/// A libpq connection string or URL with another login; both may hold any characters.
std::string with_login(const std::string& url, std::string_view user, std::string_view password);

}  // namespace raymesh::cli
