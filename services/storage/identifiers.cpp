#include "services/storage/identifiers.hpp"

#include <algorithm>

#include "libs/base/encoding.hpp"
#include "libs/base/json_writer.hpp"

namespace raymesh::storage {

Status check_identifier(std::string_view name, std::string_view what) {
  auto refuse = [&](std::string_view why) {
    // A name can be as long as the request; a message should not.
    std::string message = "Invalid identifier: ";
    json::append_string(message, name.substr(0, 80));
    message.append(" (a ").append(what).append(" name ").append(why).append(")");
    return Error(errors::kInvalidIdentifier, std::move(message));
  };
  if (name.empty()) return refuse("may not be empty");
  if (name.size() > kMaxIdentifierBytes) return refuse("has at most 63 bytes");
  const bool has_control = std::any_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
  if (has_control) return refuse("may not have control characters");
  if (!is_valid_utf8(name)) return refuse("must be UTF-8");
  return ok_status();
}

void append_identifier(std::string& sql, std::string_view name) {
  sql += '"';
  for (char c : name) {
    if (c == '"') sql += '"';
    sql += c;
  }
  sql += '"';
}

}  // namespace raymesh::storage
