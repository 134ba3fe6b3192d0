#include "libs/base/encoding.hpp"

#include <array>
#include <cstdint>

namespace raymesh {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string encode64(std::string_view in, std::string_view alphabet, bool pad) {
  const size_t rest = in.size() % 3;
  std::string out(in.size() / 3 * 4 + (rest == 0 ? 0 : pad ? 4 : rest + 1), '=');
  char* to = out.data();
  const auto byte = [&](size_t k) { return uint32_t{static_cast<uint8_t>(in[k])}; };
  size_t i = 0;
  for (; i + 3 <= in.size(); i += 3) {
    const uint32_t v = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    for (int shift = 18; shift >= 0; shift -= 6) *to++ = alphabet[v >> shift & 63];
  }
  if (rest > 0) {
    const uint32_t v = byte(i) << 16 | (rest == 2 ? byte(i + 1) << 8 : 0);
    *to++ = alphabet[v >> 18 & 63];
    *to++ = alphabet[v >> 12 & 63];
    if (rest == 2) *to++ = alphabet[v >> 6 & 63];
  }
  return out;
}

constexpr uint8_t kNoDigit = 0xff;
using DecodeTable = std::array<uint8_t, 256>;

constexpr DecodeTable make_decode_table(std::string_view alphabet) {
  DecodeTable table{};
  table.fill(kNoDigit);
  for (size_t i = 0; i < alphabet.size(); ++i)
    table[static_cast<uint8_t>(alphabet[i])] = static_cast<uint8_t>(i);
  return table;
}

/// `text` has no padding.
std::optional<std::string> decode64(std::string_view text, const DecodeTable& table) {
  const size_t rest = text.size() % 4;
  if (rest == 1) return std::nullopt;
  std::string out(text.size() / 4 * 3 + (rest > 0 ? rest - 1 : 0), '\0');
  char* to = out.data();
  uint32_t all = 0;  // every digit's bits; no digit has the highest one
  const auto digit = [&](size_t i) {
    const uint32_t v = table[static_cast<uint8_t>(text[i])];
    all |= v;
    return v;
  };
  size_t i = 0;
  for (; i + 4 <= text.size(); i += 4) {
    const uint32_t v = digit(i) << 18 | digit(i + 1) << 12 | digit(i + 2) << 6 | digit(i + 3);
    *to++ = static_cast<char>(v >> 16);
    *to++ = static_cast<char>(v >> 8);
    *to++ = static_cast<char>(v);
  }
  if (rest > 0) {
    const uint32_t v = digit(i) << 18 | digit(i + 1) << 12 | (rest == 3 ? digit(i + 2) << 6 : 0);
    *to++ = static_cast<char>(v >> 16);
    if (rest == 3) *to++ = static_cast<char>(v >> 8);
    if ((v & (rest == 3 ? 0xffu : 0xffffu)) != 0) return std::nullopt;  // bits of no byte
  }
  if ((all & 0x80) != 0) return std::nullopt;
  return out;
}

}  // namespace

std::string hex_encode(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (char c : bytes) {
    out += kHex[static_cast<uint8_t>(c) >> 4];
    out += kHex[static_cast<uint8_t>(c) & 15];
  }
  return out;
}

std::optional<std::string> hex_decode(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::string out;
  out.reserve(text.size() / 2);
  for (size_t i = 0; i < text.size(); i += 2) {
    int high = hex_digit(text[i]);
    int low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
  }
  return out;
}

std::string base64_encode(std::string_view bytes) {
  return encode64(bytes, kBase64, true);
}
std::string base64url_encode(std::string_view bytes) {
  return encode64(bytes, kBase64Url, false);
}

std::optional<std::string> base64url_decode(std::string_view text) {
  static constexpr auto kTable = make_decode_table(kBase64Url);
  return decode64(text, kTable);
}

std::optional<std::string> base64_decode(std::string_view text) {
  static constexpr auto kTable = make_decode_table(kBase64);
  if (text.size() % 4 != 0) return std::nullopt;
  if (text.ends_with("==")) {
    text.remove_suffix(2);
  } else if (text.ends_with('=')) {
    text.remove_suffix(1);
  }
  return decode64(text, kTable);
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (;;) {
    const size_t at = text.find('%');
    out += text.substr(0, at);
    if (at == std::string_view::npos) return out;
    if (at + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[at + 1]);
    const int low = hex_digit(text[at + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high << 4 | low);
    text.remove_prefix(at + 3);
  }
}

bool is_valid_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const uint8_t*>(text.data());
  const uint8_t* end = p + text.size();
  while (p < end) {
    if (*p < 0x80) {
      ++p;
      continue;
    }
    int more;
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    if (*p >= 0xc2 && *p <= 0xdf) {
      more = 1;
    } else if (*p >= 0xe0 && *p <= 0xef) {
      more = 2;
      if (*p == 0xe0) low = 0xa0;
      if (*p == 0xed) high = 0x9f;
    } else if (*p >= 0xf0 && *p <= 0xf4) {
      more = 3;
      if (*p == 0xf0) low = 0x90;
      if (*p == 0xf4) high = 0x8f;
    } else {
      return false;
    }
    if (end - p <= more) return false;
    if (p[1] < low || p[1] > high) return false;
    for (int k = 2; k <= more; ++k)
      if ((p[k] & 0xc0) != 0x80) return false;
    p += more + 1;
  }
  return true;
}

}  // namespace raymesh
