#include "libs/base/json_writer.hpp"

#include <charconv>
#include <cmath>
#include <cstring>

#include "libs/base/encoding.hpp"

namespace raymesh::json {
namespace {

template <class T>
void append_number(std::string& out, T value) {
  char buffer[32];
  auto [end, ec] = std::to_chars(buffer, buffer + sizeof buffer, value);
  out.append(buffer, end);
}

constexpr uint64_t kOnes = 0x0101010101010101u;
constexpr uint64_t kHighBits = 0x8080808080808080u;

// The number of characters at the start that stand for themselves: printable ASCII but '"' and
// '\\'. Eight at a time: a byte below 0x20, or equal to one of the two, borrows into its high bit.
size_t plain_prefix(const char* p, size_t size) {
  size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    uint64_t w;
    std::memcpy(&w, p + i, 8);
    const uint64_t quote = w ^ kOnes * '"';
    const uint64_t backslash = w ^ kOnes * '\\';
    if ((((w - kOnes * 0x20) | (quote - kOnes) | (backslash - kOnes) | w) & kHighBits) != 0) break;
  }
  for (; i < size; ++i) {
    const auto c = static_cast<unsigned char>(p[i]);
    if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\') break;
  }
  return i;
}

// The length of the well-formed UTF-8 sequence at the start of `text`, or 0.
size_t utf8_sequence(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  const size_t n = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  return n <= text.size() && is_valid_utf8(text.substr(0, n)) ? n : 0;
}

void append_escaped(std::string& out, unsigned char c) {
  static constexpr char kHex[] = "0123456789abcdef";
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
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
  }
}

}  // namespace

void append_string(std::string& out, std::string_view text) {
  out += '"';
  size_t start = 0;  // of what is not yet copied
  size_t i = 0;
  while ((i += plain_prefix(text.data() + i, text.size() - i)) < text.size()) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x80) {
      if (const size_t n = utf8_sequence(text.substr(i)); n > 0) {
        i += n;
        continue;
      }
    }
    out.append(text, start, i - start);
    if (c >= 0x80) {
      out += "\xef\xbf\xbd";
    } else {
      append_escaped(out, c);
    }
    start = ++i;
  }
  out.append(text, start, text.size() - start);
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
