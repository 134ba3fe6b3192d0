#include "libs/base/json_writer.hpp"

#include <charconv>
#include <cmath>

#include "libs/base/encoding.hpp"

namespace raymesh::json {
namespace {

template <class T>
void append_number(std::string& out, T value) {
  char buffer[32];
  auto [end, ec] = std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, end);
}

// The length of the well-formed UTF-8 sequence at the start of `text`, or 0.
size_t utf8_sequence(std::string_view text) {
  for (size_t n = 1; n <= 4 && n <= text.size(); ++n)
    if (is_valid_utf8(text.substr(0, n))) return n;
  return 0;
}

void append_escaped(std::string& out, std::string_view text, bool repair) {
  static constexpr char kHex[] = "0123456789abcdef";
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\' && (c < 0x80 || !repair)) continue;
    if (c >= 0x80) {
      if (size_t n = utf8_sequence(text.substr(i)); n > 0) {
        i += n - 1;
        continue;
      }
    }
    out.append(text, start, i - start);
    start = i + 1;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (c >= 0x80) {
          out += "\xef\xbf\xbd";
        } else {
          out += "\\u00";
          out += kHex[c >> 4];
          out += kHex[c & 15];
        }
    }
  }
  out.append(text, start, text.size() - start);
}

}  // namespace

void append_string(std::string& out, std::string_view text) {
  out += '"';
  append_escaped(out, text, !is_valid_utf8(text));
  out += '"';
}

std::string quoted(std::string_view text) {
  std::string out;
  append_string(out, text);
  return out;
}

void append_int(std::string& out, int64_t value) {
  append_number(out, value);
}
void append_uint(std::string& out, uint64_t value) {
  append_number(out, value);
}

void append_double(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  append_number(out, value);
}

}  // namespace raymesh::json
