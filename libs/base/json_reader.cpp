#include "libs/base/json_reader.hpp"

#include <cstdint>
#include <cstring>

#include "libs/base/encoding.hpp"

namespace raymesh {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
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

/// Whether one of eight bytes is a quote, a backslash, below 0x20 or not ASCII: what a string
/// cannot just skip.
bool has_special_byte(const char* p) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHighs = 0x8080808080808080;
  uint64_t word;
  std::memcpy(&word, p, sizeof word);
  auto zero_bytes = [](uint64_t v) { return (v - kOnes) & ~v; };
  return ((word | zero_bytes(word ^ kOnes * '"') | zero_bytes(word ^ kOnes * '\\') |
           ((word - kOnes * 0x20) & ~word)) &
          kHighs) != 0;
}

/// The strict pass. Every `read_` function starts at the first character of its thing and leaves
/// at_ behind the last; false means that the text is not JSON.
class Validator {
 public:
  Validator(std::string_view text, JsonRules rules)
      : at_(text.data()), end_(text.data() + text.size()), rules_(rules) {}

  std::optional<JsonValue> document() {
    skip_space();
    const char* begin = at_;
    if (!read_value(0)) return std::nullopt;
    const char* end = at_;
    skip_space();
    if (at_ != end_) return std::nullopt;
    return JsonValue({begin, static_cast<size_t>(end - begin)});
  }

 private:
  void skip_space() {
    while (at_ < end_ && is_space(*at_)) ++at_;
  }

  bool read_literal(std::string_view word) {
    if (static_cast<size_t>(end_ - at_) < word.size()) return false;
    if (std::memcmp(at_, word.data(), word.size()) != 0) return false;
    at_ += word.size();
    return true;
  }

  bool read_digits() {
    if (at_ == end_ || !is_digit(*at_)) return false;
    while (at_ < end_ && is_digit(*at_)) ++at_;
    return true;
  }

  bool read_number() {
    if (*at_ == '-') ++at_;
    if (at_ < end_ && *at_ == '0') {
      ++at_;
    } else if (!read_digits()) {
      return false;
    }
    if (at_ < end_ && *at_ == '.') {
      ++at_;
      if (!read_digits()) return false;
    }
    if (at_ < end_ && (*at_ == 'e' || *at_ == 'E')) {
      ++at_;
      if (at_ < end_ && (*at_ == '+' || *at_ == '-')) ++at_;
      if (!read_digits()) return false;
    }
    return true;
  }

  /// Behind "\u": four hex digits, or -1.
  int read_unit() {
    if (end_ - at_ < 4) return -1;
    int unit = 0;
    for (int i = 0; i < 4; ++i) {
      const int digit = hex_digit(*at_++);
      if (digit < 0) return -1;
      unit = unit * 16 + digit;
    }
    return unit;
  }

  bool read_escape() {
    if (at_ == end_) return false;
    switch (*at_++) {
      case '"':
      case '\\':
      case '/':
      case 'b':
      case 'f':
      case 'n':
      case 'r':
      case 't':
        return true;
      case 'u':
        break;
      default:
        return false;
    }
    const int unit = read_unit();
    if (unit < 0) return false;
    if (unit < 0xD800 || unit > 0xDFFF || rules_.lone_surrogates) return true;
    if (unit >= 0xDC00) return false;
    if (!read_literal("\\u")) return false;
    const int low = read_unit();
    return low >= 0xDC00 && low <= 0xDFFF;
  }

  bool read_string() {
    const char* begin = ++at_;
    bool is_ascii = true;
    while (at_ < end_) {
      if (end_ - at_ >= 8 && !has_special_byte(at_)) {
        at_ += 8;
        continue;
      }
      const auto c = static_cast<unsigned char>(*at_++);
      if (c == '"') {
        return is_ascii || is_valid_utf8({begin, static_cast<size_t>(at_ - 1 - begin)});
      }
      if (c < 0x20) return false;
      if (c == '\\' && !read_escape()) return false;
      if (c >= 0x80) is_ascii = false;
    }
    return false;
  }

  bool read_member_name() {
    skip_space();
    if (at_ == end_ || *at_ != '"' || !read_string()) return false;
    skip_space();
    if (at_ == end_ || *at_ != ':') return false;
    ++at_;
    return true;
  }

  bool read_container(char close, int depth) {
    if (depth >= rules_.max_depth) return false;
    ++at_;
    skip_space();
    if (at_ < end_ && *at_ == close) {
      ++at_;
      return true;
    }
    while (true) {
      if (close == '}' && !read_member_name()) return false;
      skip_space();
      if (!read_value(depth + 1)) return false;
      skip_space();
      if (at_ == end_) return false;
      const char c = *at_++;
      if (c == close) return true;
      if (c != ',') return false;
    }
  }

  bool read_value(int depth) {
    if (at_ == end_) return false;
    switch (*at_) {
      case '{':
        return read_container('}', depth);
      case '[':
        return read_container(']', depth);
      case '"':
        return read_string();
      case 't':
        return read_literal("true");
      case 'f':
        return read_literal("false");
      case 'n':
        return read_literal("null");
      default:
        return (*at_ == '-' || is_digit(*at_)) && read_number();
    }
  }

  const char* at_;
  const char* end_;
  const JsonRules rules_;
};

/// Behind the string that starts at `p`. The text is valid, so the quote is there.
const char* skip_string(const char* p) {
  ++p;
  while (*p != '"') p += *p == '\\' ? 2 : 1;
  return p + 1;
}

/// Behind the value that starts at `p`, in valid text that ends at `end`.
const char* skip_value(const char* p, const char* end) {
  if (*p == '"') return skip_string(p);
  if (*p != '{' && *p != '[') {
    while (p < end && *p != ',' && *p != '}' && *p != ']' && !is_space(*p)) ++p;
    return p;
  }
  int depth = 0;
  while (true) {
    switch (*p) {
      case '"':
        p = skip_string(p);
        continue;
      case '{':
      case '[':
        ++depth;
        break;
      case '}':
      case ']':
        if (--depth == 0) return p + 1;
        break;
      default:
        break;
    }
    ++p;
  }
}

uint32_t unit_at(const char* p) {
  uint32_t unit = 0;
  for (int i = 0; i < 4; ++i) unit = unit * 16 + static_cast<uint32_t>(hex_digit(p[i]));
  return unit;
}

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

/// Appends what the escape behind the backslash at `p` stands for; returns the place behind it.
const char* append_escape(std::string& out, const char* p) {
  switch (*p) {
    case 'b':
      out += '\b';
      return p + 1;
    case 'f':
      out += '\f';
      return p + 1;
    case 'n':
      out += '\n';
      return p + 1;
    case 'r':
      out += '\r';
      return p + 1;
    case 't':
      out += '\t';
      return p + 1;
    case 'u':
      break;
    default:
      out += *p;
      return p + 1;
  }
  const uint32_t unit = unit_at(p + 1);
  if (unit < 0xD800 || unit > 0xDFFF) {
    append_utf8(out, unit);
    return p + 5;
  }
  const bool escape_follows = unit < 0xDC00 && p[5] == '\\' && p[6] == 'u';
  const uint32_t low = escape_follows ? unit_at(p + 7) : 0;
  if (low < 0xDC00 || low > 0xDFFF) {
    append_utf8(out, 0xFFFD);
    return p + 5;
  }
  append_utf8(out, 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
  return p + 11;
}

}  // namespace

std::string_view describe(JsonKind kind) {
  switch (kind) {
    case JsonKind::kNull:
      return "null";
    case JsonKind::kBool:
      return "a boolean";
    case JsonKind::kNumber:
      return "a number";
    case JsonKind::kString:
      return "a string";
    case JsonKind::kArray:
      return "an array";
    case JsonKind::kObject:
      return "an object";
  }
  return "a value";
}

JsonKind JsonValue::kind() const {
  switch (raw_[0]) {
    case '{':
      return JsonKind::kObject;
    case '[':
      return JsonKind::kArray;
    case '"':
      return JsonKind::kString;
    case 't':
    case 'f':
      return JsonKind::kBool;
    case 'n':
      return JsonKind::kNull;
    default:
      return JsonKind::kNumber;
  }
}

bool JsonValue::is_empty() const {
  size_t i = 1;
  while (is_space(raw_[i])) ++i;
  return raw_[i] == '}' || raw_[i] == ']';
}

std::string_view JsonValue::text(std::string& scratch) const {
  const std::string_view inner = raw_.substr(1, raw_.size() - 2);
  const size_t first = inner.find('\\');
  if (first == std::string_view::npos) return inner;
  scratch.assign(inner.substr(0, first));
  const char* p = inner.data() + first;
  const char* end = inner.data() + inner.size();
  while (p < end) {
    if (*p == '\\') {
      p = append_escape(scratch, p + 1);
    } else {
      scratch += *p++;
    }
  }
  return scratch;
}

JsonMembers::JsonMembers(JsonValue container)
    : at_(container.raw().data() + 1),
      end_(container.raw().data() + container.raw().size()),
      is_object_(container.raw()[0] == '{') {}

bool JsonMembers::next() {
  auto skip_separators = [this](char separator) {
    while (is_space(*at_) || *at_ == separator) ++at_;
  };
  auto read = [this] {
    const char* begin = at_;
    at_ = skip_value(begin, end_);
    return JsonValue({begin, static_cast<size_t>(at_ - begin)});
  };
  skip_separators(',');
  if (at_ + 1 >= end_) return false;
  if (is_object_) {
    key_ = read();
    skip_separators(':');
  }
  value_ = read();
  return true;
}

JsonValue JsonMembers::whole_value(std::string_view document, size_t at) {
  const char* begin = document.data() + at;
  const char* end = skip_value(begin, document.data() + document.size());
  return JsonValue({begin, static_cast<size_t>(end - begin)});
}

std::optional<JsonValue> parse_json(std::string_view text, JsonRules rules) {
  return Validator(text, rules).document();
}

}  // namespace raymesh
