#include "services/gateway/json_text.hpp"

#include <simdjson.h>

#include <bitset>
#include <cstdint>
#include <cstring>

namespace raymesh::gateway::json_text {
namespace {

const char* skip_space(const char* p, const char* end) {
  while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) ++p;
  return p;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The 16-bit unit of four hex digits, or -1.
int code_unit(const char* p) {
  int unit = 0;
  for (int i = 0; i < 4; ++i) {
    const int digit = hex_digit(p[i]);
    if (digit < 0) return -1;
    unit = unit << 4 | digit;
  }
  return unit;
}

// Eight bytes at once: a bit is set for a byte that is '"', '\\' or below 0x20.
uint64_t special_bytes(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHighs = 0x8080808080808080;
  auto zero_bytes = [](uint64_t v) { return (v - kOnes) & ~v & kHighs; };
  const uint64_t controls = (word - kOnes * 0x20) & ~word & kHighs;
  return zero_bytes(word ^ kOnes * '"') | zero_bytes(word ^ kOnes * '\\') | controls;
}

// From behind the opening quote to behind the closing one; nullptr when it is not a string.
const char* scan_string(const char* p, const char* end) {
  for (;;) {
    while (end - p >= 8) {
      uint64_t word;
      std::memcpy(&word, p, 8);
      if (special_bytes(word) != 0) break;
      p += 8;
    }
    if (p == end) return nullptr;
    const char c = *p++;
    if (c == '"') return p;
    if (static_cast<unsigned char>(c) < 0x20) return nullptr;
    if (c != '\\') continue;
    if (p == end) return nullptr;
    switch (*p++) {
      case '"':
      case '\\':
      case '/':
      case 'b':
      case 'f':
      case 'n':
      case 'r':
      case 't':
        break;
      case 'u':
        if (end - p < 4 || code_unit(p) < 0) return nullptr;
        p += 4;
        break;
      default:
        return nullptr;
    }
  }
}

const char* scan_digits(const char* p, const char* end) {
  if (p == end || !is_digit(*p)) return nullptr;
  while (p < end && is_digit(*p)) ++p;
  return p;
}

const char* scan_number(const char* p, const char* end) {
  if (*p == '-') ++p;
  if (p == end) return nullptr;
  if (*p == '0')
    ++p;
  else if (!(p = scan_digits(p, end)))
    return nullptr;
  if (p < end && *p == '.' && !(p = scan_digits(p + 1, end))) return nullptr;
  if (p < end && (*p == 'e' || *p == 'E')) {
    ++p;
    if (p < end && (*p == '+' || *p == '-')) ++p;
    p = scan_digits(p, end);
  }
  return p;
}

const char* scan_word(const char* p, const char* end, std::string_view word) {
  if (static_cast<size_t>(end - p) < word.size() || std::memcmp(p, word.data(), word.size()) != 0)
    return nullptr;
  return p + word.size();
}

// A value that is neither object nor array.
const char* scan_scalar(const char* p, const char* end) {
  switch (*p) {
    case '"':
      return scan_string(p + 1, end);
    case 't':
      return scan_word(p, end, "true");
    case 'f':
      return scan_word(p, end, "false");
    case 'n':
      return scan_word(p, end, "null");
    default:
      return *p == '-' || is_digit(*p) ? scan_number(p, end) : nullptr;
  }
}

// `"key" :`, up to the value; nullptr when there is none.
const char* scan_key(const char* p, const char* end) {
  p = skip_space(p, end);
  if (p == end || *p != '"' || !(p = scan_string(p + 1, end))) return nullptr;
  p = skip_space(p, end);
  return p < end && *p == ':' ? p + 1 : nullptr;
}

// The whole value at `p`, checked; nullptr when it is not one.
const char* scan_value(const char* p, const char* end) {
  std::bitset<kMaxDepth + 1> is_object;  // of the containers around p, by depth
  size_t depth = 0;
  for (;;) {
    // A value is expected.
    p = skip_space(p, end);
    if (p == end) return nullptr;
    if (*p == '{' || *p == '[') {
      if (depth == kMaxDepth) return nullptr;
      const bool object = *p == '{';
      is_object[++depth] = object;
      p = skip_space(p + 1, end);
      if (p < end && *p == (object ? '}' : ']')) {
        ++p;
        --depth;
      } else {
        if (object && !(p = scan_key(p, end))) return nullptr;
        continue;
      }
    } else if (!(p = scan_scalar(p, end))) {
      return nullptr;
    }
    // A value has ended.
    for (;;) {
      if (depth == 0) return p;
      p = skip_space(p, end);
      if (p == end) return nullptr;
      if (*p == ',') {
        ++p;
        if (is_object[depth] && !(p = scan_key(p, end))) return nullptr;
        break;
      }
      if (*p != (is_object[depth] ? '}' : ']')) return nullptr;
      ++p;
      --depth;
    }
  }
}

// Behind the value at `p` of checked text: only strings and brackets need a look.
const char* skip_value(const char* p, const char* end) {
  if (*p == '"') return scan_string(p + 1, end);
  if (*p != '{' && *p != '[') {
    while (p < end && *p != ',' && *p != '}' && *p != ']' && *p > ' ') ++p;
    return p;
  }
  size_t depth = 0;
  for (;;) {
    switch (*p++) {
      case '"':
        p = scan_string(p, end);
        break;
      case '{':
      case '[':
        ++depth;
        break;
      case '}':
      case ']':
        if (--depth == 0) return p;
        break;
      default:
        break;
    }
  }
}

std::string_view trim(std::string_view text) {
  const char* begin = skip_space(text.data(), text.data() + text.size());
  const char* end = text.data() + text.size();
  while (end > begin && (end[-1] == ' ' || end[-1] == '\n' || end[-1] == '\r' || end[-1] == '\t'))
    --end;
  return {begin, static_cast<size_t>(end - begin)};
}

// Takes the value at the front of `rest`, and the comma behind it.
std::string_view take_value(std::string_view& rest) {
  const char* end = rest.data() + rest.size();
  const char* p = skip_value(rest.data(), end);
  const std::string_view value = rest.substr(0, static_cast<size_t>(p - rest.data()));
  p = skip_space(p, end);
  if (p < end && *p == ',') p = skip_space(p + 1, end);
  rest = {p, static_cast<size_t>(end - p)};
  return value;
}

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (c & 0x3f));
  }
}

// Resolves the escapes of a checked string's inside.
std::string unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    switch (const char c = text[++i]; c) {
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'u': {
        auto unit = static_cast<uint32_t>(code_unit(text.data() + i + 1));
        i += 4;
        if (unit >= 0xd800 && unit < 0xdc00 && i + 6 < text.size() && text[i + 1] == '\\' &&
            text[i + 2] == 'u') {
          const auto low = static_cast<uint32_t>(code_unit(text.data() + i + 3));
          if (low >= 0xdc00 && low < 0xe000) {
            unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            i += 6;
          }
        }
        append_utf8(out, unit >= 0xd800 && unit < 0xe000 ? 0xfffd : unit);
        break;
      }
      default:  // '"', '\\' and '/'
        out += c;
    }
  }
  return out;
}

}  // namespace

bool check(std::string_view text) {
  if (!simdjson::validate_utf8(text.data(), text.size())) return false;
  const char* end = text.data() + text.size();
  const char* p = scan_value(text.data(), end);
  return p && skip_space(p, end) == end;
}

Kind kind_of(std::string_view value) {
  switch (trim(value).front()) {
    case '{':
      return Kind::kObject;
    case '[':
      return Kind::kArray;
    case '"':
      return Kind::kString;
    case 't':
      return Kind::kTrue;
    case 'f':
      return Kind::kFalse;
    case 'n':
      return Kind::kNull;
    default:
      return Kind::kNumber;
  }
}

std::optional<std::string> string_value(std::string_view value) {
  value = trim(value);
  if (value.front() != '"') return std::nullopt;
  value = value.substr(1, value.size() - 2);
  if (value.find('\\') == std::string_view::npos) return std::string(value);
  return unescape(value);
}

ObjectReader::ObjectReader(std::string_view object) {
  object = trim(object);
  rest_ = trim(object.substr(1, object.size() - 2));
}

bool ObjectReader::next(std::string_view& key, std::string_view& value) {
  if (rest_.empty()) return false;
  const char* end = rest_.data() + rest_.size();
  const char* after = scan_string(rest_.data() + 1, end);
  key = rest_.substr(1, static_cast<size_t>(after - rest_.data()) - 2);
  const char* p = skip_space(skip_space(after, end) + 1, end);
  rest_ = {p, static_cast<size_t>(end - p)};
  value = take_value(rest_);
  return true;
}

ArrayReader::ArrayReader(std::string_view array) {
  array = trim(array);
  rest_ = trim(array.substr(1, array.size() - 2));
}

bool ArrayReader::next(std::string_view& value) {
  if (rest_.empty()) return false;
  value = take_value(rest_);
  return true;
}

bool key_is(std::string_view key, std::string_view name) {
  if (key == name) return true;
  return key.find('\\') != std::string_view::npos && unescape(key) == name;
}

}  // namespace raymesh::gateway::json_text
