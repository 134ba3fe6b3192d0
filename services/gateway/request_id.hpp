// Ids for requests that bring none: 16 random hex digits, unique enough to find a request in the
// logs.
#pragma once

#include <string>

namespace raymesh::gateway {

/// Any thread. Not a secret.
void append_request_id(std::string& out);

}  // namespace raymesh::gateway
