// The options with which a command finds PostgreSQL: an admin login of the operator's, or the
// private server of a running `raymesh dev`. One thread.
#pragma once

#include <string>

#include "libs/base/result.hpp"
#include "libs/config/options.hpp"
#include "libs/pg/session.hpp"

namespace raymesh::cli {

struct Connection {
  std::string postgres_url;
  std::string data_dir = ".raymesh";
  std::string project_secret;  // see --project-role-secret

  /// --postgres-url and --data-dir.
  void declare(config::Options& options);
  /// --project-role-secret, for commands that make roles.
  void declare_project_secret(config::Options& options);

  /// Fills in what the options left open from a running `raymesh dev`. Errors: invalid_request
  /// when there is neither.
  Status resolve();
  /// resolve, then an admin session. Error also: unavailable.
  Result<pg::Session> connect();
};

}  // namespace raymesh::cli
