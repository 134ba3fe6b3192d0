// raystream_peer as a client.
#pragma once

#include <string>
#include <vector>

namespace raymesh::raystream {

/// Does what `args` say: "PORT", "ID:PUBLIC" in hexadecimal, "NAME=VALUE"s. False when the server,
/// or what came over the wire, ended it.
bool call(const std::vector<std::string>& args);

}  // namespace raymesh::raystream
