// Appends JSON to a string, nothing kept between calls: the fast way to build an answer straight in
// the reply's buffer. Any thread, each with its own string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace raymesh::json {

/// `"text"` with RFC 8259 section 7 escapes. Bytes that are not UTF-8 become U+FFFD, so that what
/// goes out always parses.
void append_string(std::string& out, std::string_view text);
std::string quoted(std::string_view text);

void append_int(std::string& out, int64_t value);
void append_uint(std::string& out, uint64_t value);
/// Shortest form that reads back as the same double; NaN and infinities become null.
void append_double(std::string& out, double value);

/// Writes commas between members by itself:
///   Object o(out); o.key("id"); append_int(out, 7); o.string("name", "x"); o.end();
class Object {
 public:
  explicit Object(std::string& out) : out_(out) { out_ += '{'; }
  std::string& key(std::string_view name) {
    if (!first_) out_ += ',';
    first_ = false;
    append_string(out_, name);
    out_ += ':';
    return out_;
  }
  void string(std::string_view name, std::string_view value) { append_string(key(name), value); }
  void integer(std::string_view name, int64_t value) { append_int(key(name), value); }
  void boolean(std::string_view name, bool value) { key(name) += value ? "true" : "false"; }
  /// `value` is JSON already.
  void raw(std::string_view name, std::string_view value) { key(name) += value; }
  void end() { out_ += '}'; }

 private:
  std::string& out_;
  bool first_ = true;
};

}  // namespace raymesh::json
