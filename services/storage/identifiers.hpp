// Names of tables and columns as callers write them: which are acceptable, and how they stand in
// SQL text. Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

#include "libs/base/result.hpp"

namespace raymesh::storage {

/// PostgreSQL's NAMEDATALEN - 1. A longer name would be cut off silently and so name another thing.
inline constexpr size_t kMaxIdentifierBytes = 63;

/// invalid_identifier unless the name is 1 to 63 bytes of UTF-8 without control characters.
/// Anything else is fine, because it is always quoted: "user-profiles" and even `a"b` are real
/// names. `what` says in the message what it names: "table" or "column".
Status check_identifier(std::string_view name, std::string_view what);

/// Appends the name in double quotes, inner ones doubled (PostgreSQL manual 4.1.1). The name must
/// have passed check_identifier or come from the catalog.
void append_identifier(std::string& sql, std::string_view name);

}  // namespace raymesh::storage
