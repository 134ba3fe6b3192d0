// The JSON reader of libs/base under the names that storage's own files use.
#pragma once

#include "libs/base/json_reader.hpp"

namespace raymesh::storage {

using raymesh::JsonKind;
using raymesh::JsonMembers;
using raymesh::JsonValue;
using raymesh::parse_json;

}  // namespace raymesh::storage
