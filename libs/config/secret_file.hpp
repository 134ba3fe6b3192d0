// Files that hold secrets. Used at start-up, by one thread.
#pragma once

#include <string>

#include "libs/base/result.hpp"

namespace raymesh::config {

/// Fails when everybody on the machine may read the file.
Status check_not_world_readable(const std::string& path);

/// The content without one line feed at its end. Refuses what everybody may read, more than 64 KiB
/// and an empty file.
Result<std::string> read_secret_file(const std::string& path);

}  // namespace raymesh::config
