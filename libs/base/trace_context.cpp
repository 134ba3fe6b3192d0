#include "libs/base/trace_context.hpp"

#include <algorithm>
#include <random>

#include "libs/base/encoding.hpp"

namespace raymesh {
namespace {

// Trace ids are identifiers, not secrets: a per-thread generator, seeded by the kernel, is enough.
uint64_t random_bits() {
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return generator();
}

template <size_t N>
void fill_random(std::array<uint8_t, N>& out) {
  do {
    for (size_t i = 0; i < N; i += 8) {
      uint64_t bits = random_bits();
      for (size_t k = 0; k < 8; ++k) out[i + k] = static_cast<uint8_t>(bits >> (8 * k));
    }
  } while (std::all_of(out.begin(), out.end(), [](uint8_t b) { return b == 0; }));
}

// By character; negative: no digit. W3C's traceparent knows no capitals.
constexpr std::array<int8_t, 256> kLowerHexDigits = [] {
  std::array<int8_t, 256> table{};
  table.fill(-1);
  for (int i = 0; i < 16; ++i)
    table[static_cast<size_t>("0123456789abcdef"[i])] = static_cast<int8_t>(i);
  return table;
}();

template <size_t N>
bool decode_lower_hex(std::string_view text, std::array<uint8_t, N>& out) {
  if (text.size() != 2 * N) return false;
  const auto digit = [&](size_t i) -> int {
    return kLowerHexDigits[static_cast<unsigned char>(text[i])];
  };
  int all = 0;
  for (size_t i = 0; i < N; ++i) {
    const int high = digit(2 * i);
    const int low = digit(2 * i + 1);
    all |= high | low;
    out[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return all >= 0;
}

template <size_t N>
bool is_zero(const std::array<uint8_t, N>& a) {
  return std::all_of(a.begin(), a.end(), [](uint8_t b) { return b == 0; });
}

template <size_t N>
std::string hex_of(const std::array<uint8_t, N>& a) {
  return hex_encode({reinterpret_cast<const char*>(a.data()), N});
}

}  // namespace

TraceContext TraceContext::start() {
  TraceContext t;
  fill_random(t.trace_id);
  fill_random(t.span_id);
  t.flags = 1;
  return t;
}

std::optional<TraceContext> TraceContext::parse(std::string_view s) {
  // version "-" trace-id "-" parent-id "-" flags; a higher version may carry more after another '-'
  if (s.size() < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-') return std::nullopt;
  std::array<uint8_t, 1> version{};
  std::array<uint8_t, 1> flags{};
  TraceContext t;
  if (!decode_lower_hex(s.substr(0, 2), version) || version[0] == 0xff) return std::nullopt;
  if (version[0] == 0 ? s.size() != 55 : s.size() > 55 && s[55] != '-') return std::nullopt;
  if (!decode_lower_hex(s.substr(3, 32), t.trace_id) || is_zero(t.trace_id)) return std::nullopt;
  if (!decode_lower_hex(s.substr(36, 16), t.span_id) || is_zero(t.span_id)) return std::nullopt;
  if (!decode_lower_hex(s.substr(53, 2), flags)) return std::nullopt;
  t.flags = flags[0];
  return t;
}

TraceContext TraceContext::child() const {
  TraceContext t = *this;
  fill_random(t.span_id);
  return t;
}

// Made for every request and every call: one allocation.
std::string TraceContext::to_string() const {
  char text[55];
  char* at = text;
  const auto append = [&at](auto bytes) {
    for (const uint8_t b : bytes) {
      *at++ = "0123456789abcdef"[b >> 4];
      *at++ = "0123456789abcdef"[b & 15];
    }
  };
  append(std::array<uint8_t, 1>{0});
  *at++ = '-';
  append(trace_id);
  *at++ = '-';
  append(span_id);
  *at++ = '-';
  append(std::array{flags});
  return {text, sizeof text};
}

std::string TraceContext::trace_id_hex() const {
  return hex_of(trace_id);
}

}  // namespace raymesh
