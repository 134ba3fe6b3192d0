// JSON that is checked once and then handed on as it came: the gateway takes a few members out of a
// body and forwards the rest to a service without building a tree. Pure functions over views of the
// caller's text; any thread. Readers and string_value want text that check() has accepted.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace raymesh::gateway::json_text {

/// Deepest nesting of arrays and objects that is accepted.
inline constexpr size_t kMaxDepth = 128;

/// True when `text` is exactly one JSON value (RFC 8259) in well-formed UTF-8, not nested deeper
/// than kMaxDepth.
bool check(std::string_view text);

enum class Kind { kObject, kArray, kString, kNumber, kTrue, kFalse, kNull };
/// Of a checked value.
Kind kind_of(std::string_view value);

/// The text of a checked JSON string, with escapes resolved; nullopt for any other kind. A lone
/// surrogate becomes U+FFFD, because UTF-8 has no form for it.
std::optional<std::string> string_value(std::string_view value);

/// The members of a checked object, in order.
class ObjectReader {
 public:
  explicit ObjectReader(std::string_view object);
  /// False at the end. `value` is the member's JSON text without white space around it; `key` is
  /// the key's text between its quotes, escapes not resolved.
  bool next(std::string_view& key, std::string_view& value);

 private:
  std::string_view rest_;
};

/// The elements of a checked array, in order.
class ArrayReader {
 public:
  explicit ArrayReader(std::string_view array);
  bool next(std::string_view& value);

 private:
  std::string_view rest_;
};

/// Whether a key as ObjectReader gives it means `name` (ASCII without quotes or backslashes).
bool key_is(std::string_view key, std::string_view name);

}  // namespace raymesh::gateway::json_text
