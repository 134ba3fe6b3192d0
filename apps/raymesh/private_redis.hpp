// One of the two Redis servers that `raymesh dev` runs for itself: `cache` evicts, `state` does
// not. Unix socket and password only; a snapshot when it stops and every quarter of an hour.
// Blocking; the command's thread.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "apps/raymesh/data_dir.hpp"
#include "apps/raymesh/kept_server.hpp"
#include "libs/base/result.hpp"

namespace raymesh::cli {

class PrivateRedis {
 public:
  struct Config {
    std::string name;     // "cache" or "state"
    std::string program;  // path of redis-server
    std::string password;
    std::filesystem::path sockets;
    bool evicts = false;
    std::function<void()> given_up;
  };

  /// Begins to start it. Errors: invalid_request (no such program), unavailable.
  static Result<std::unique_ptr<PrivateRedis>> begin(DataDir& folder, const Config& config);

  Status wait_ready() { return server_->wait_ready(); }
  void stop(std::chrono::milliseconds grace) { server_->stop(grace); }
  /// As redis::parse_address takes it; the password is given beside it.
  std::string url() const { return "unix:" + socket_; }

 private:
  PrivateRedis() = default;

  std::string socket_;
  std::unique_ptr<KeptServer> server_;
};

}  // namespace raymesh::cli
