// <data-dir>/dev-server.json: how the other commands find the private PostgreSQL of a running
// `raymesh dev`, which writes it when everything is up and removes it when it stops. It holds a
// secret and is readable by its owner only. One thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "libs/base/result.hpp"

namespace raymesh::cli {

struct DevServer {
  std::string postgres_url;    // admin login of the private server
  std::string project_secret;  // what the passwords of the projects' roles are derived from
};

/// Replaces the file in one step (write beside it, then rename). Error: internal.
Status write_dev_server(const std::filesystem::path& data_dir, const DevServer& server);
/// nullopt when there is no such file. Error: invalid_request when it is not one of ours.
Result<std::optional<DevServer>> read_dev_server(const std::filesystem::path& data_dir);
void remove_dev_server(const std::filesystem::path& data_dir);

}  // namespace raymesh::cli
