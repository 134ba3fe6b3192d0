// From HTTP bodies to what services want: the members of a JSON object that a route knows, checked,
// with values that pass through as the JSON they came as. Pure functions over the caller's text;
// any thread. The fuzz target of the gateway starts here.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "libs/base/json_reader.hpp"
#include "libs/base/result.hpp"

namespace raymesh::gateway {

/// Deeper than any service reads; half surrogate pairs pass, because JavaScript writes them.
inline constexpr JsonRules kBodyRules{.max_depth = 128, .lone_surrogates = true};

struct Member {
  std::string_view name;
  std::optional<JsonValue> value = {};  // nullopt: missing

  /// There, and of this kind.
  bool is(JsonKind kind) const { return value && value->is(kind); }
  bool is_missing_or_null() const { return !value || value->is(JsonKind::kNull); }
};

/// Finds `members` in the object `body` (an empty body is {}). Fails with invalid_json for anything
/// that is not JSON, wherever it stands in the body, and with invalid_request for what is not an
/// object, or has one of the members twice, because two readers could then take different ones.
Status read_members(std::string_view body, std::span<Member> members);

/// A string's characters; nullopt for any other kind.
std::optional<std::string> text_of(JsonValue value);
/// A string's characters; nullopt when it is missing or anything else.
std::optional<std::string> text_of(const Member& member);
/// A finite number; nullopt when it is missing, null or anything else.
std::optional<double> number_of(const Member& member);

/// Seconds from a client's number: floored, at least 1 for what is above 0, at most 100 years; 0
/// for what is not above 0.
uint32_t whole_seconds(double seconds);

/// The body of POST /api/v1/db; or, with a `known_operation`, of a call of its
/// name: what the body says about it counts for nothing then.
struct DbBody {
  std::string operation;
  std::string table;
  std::string_view options;  // the object's JSON text as sent; empty: {}
};
Result<DbBody> read_db_body(std::string_view body, std::string_view known_operation = {});

}  // namespace raymesh::gateway
