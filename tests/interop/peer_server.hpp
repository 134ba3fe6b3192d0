// raystream_peer as a server.
#pragma once

#include <string>

namespace raymesh::raystream {

/// Serves on a port of its own, which it prints, until it is killed. `key`: "ID:SEED" in
/// hexadecimal.
[[noreturn]] void serve(const std::string& key);

}  // namespace raymesh::raystream
