// Whether bytes are one JSON value (RFC 8259), so that what a project reads back always parses. Any
// thread (each has a parser of its own).
#pragma once

#include <string_view>

#include "libs/base/result.hpp"

namespace raymesh::cache {

/// invalid_json, naming `what`; value_too_large above `max_bytes`.
Status check_json(std::string_view json, size_t max_bytes, std::string_view what);

}  // namespace raymesh::cache
