// Reads JSON text in place: one strict validating pass over the whole document, then views into it.
//
// For callers that need what a DOM throws away: the digits of a number as they were written, a
// document's own text to hand on, and members in any order, several times. Views are only valid
// while the text lives. Pure, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace raymesh {

enum class JsonKind : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };

/// "a string", "an object": for messages.
std::string_view describe(JsonKind kind);

/// A view of one value of a validated document.
class JsonValue {
 public:
  JsonValue() = default;
  /// `raw` must be one whole value of a document that parse_json accepted.
  explicit JsonValue(std::string_view raw) : raw_(raw) {}

  /// The value's own text, without space around it.
  std::string_view raw() const { return raw_; }
  JsonKind kind() const;
  bool is(JsonKind k) const { return kind() == k; }
  bool is_true() const { return raw_[0] == 't'; }
  /// An array or object without members.
  bool is_empty() const;

  /// Of a string: its characters, unescaped into `scratch` when it has escapes.
  std::string_view text(std::string& scratch) const;

 private:
  std::string_view raw_ = "null";
};

/// Walks the members of an object or array, in the order of the text:
///   JsonMembers members(value);
///   while (members.next()) use(members.key(scratch), members.value());
class JsonMembers {
 public:
  explicit JsonMembers(JsonValue container);
  bool next();
  /// Only in an object.
  std::string_view key(std::string& scratch) const { return key_.text(scratch); }
  JsonValue value() const { return value_; }

  /// The value that begins at `at` of a valid document.
  static JsonValue whole_value(std::string_view document, size_t at);

 private:
  const char* at_;
  const char* end_;
  bool is_object_;
  JsonValue key_;
  JsonValue value_;
};

/// Deepest nesting of arrays and objects that is accepted, unless the rules say otherwise.
inline constexpr int kMaxJsonDepth = 64;

struct JsonRules {
  int max_depth = kMaxJsonDepth;
  /// RFC 8259 section 8.2 allows half of a surrogate pair in an escape, as JavaScript writes it for
  /// such a string, but UTF-8 has no form for it: `text` then gives U+FFFD.
  bool lone_surrogates = false;
};

/// The document's value, or nullopt unless the text is one JSON value of RFC 8259, in valid UTF-8,
/// within the rules.
std::optional<JsonValue> parse_json(std::string_view text, JsonRules rules = {});

}  // namespace raymesh
