// One answer of Redis (RESP2), as a plain value that knows nothing of hiredis. Values; any thread
// may use its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::redis {

struct Reply {
  enum class Type : uint8_t { kNil, kString, kStatus, kInteger, kError, kArray };

  Type type = Type::kNil;
  int64_t integer = 0;
  std::string text;          // of a string, status or error
  std::vector<Reply> items;  // of an array

  bool is_nil() const { return type == Type::kNil; }
  bool is_string() const { return type == Type::kString; }
  bool is_integer() const { return type == Type::kInteger; }
  bool is_error() const { return type == Type::kError; }
  bool is_array() const { return type == Type::kArray; }
  bool is_status(std::string_view word) const { return type == Type::kStatus && text == word; }
};

/// What an error answer means to a caller: wrong_type; unavailable while Redis loads its data, is a
/// replica, or refuses the login; overloaded when a store that never evicts is full; internal for
/// the rest (a command or script of ours is wrong).
Error to_error(const Reply& reply);

/// True for errors that a new connection may cure (READONLY after a failover, MASTERDOWN, NOAUTH).
bool wants_new_connection(const Reply& reply);

/// internal: Redis answered something that the command cannot answer.
Error unexpected_reply(std::string_view command);

}  // namespace raymesh::redis
