#include "services/realtime/position.hpp"

#include <charconv>
#include <cstring>

#include "libs/crypto/random.hpp"

namespace raymesh::realtime {

std::string epoch_text(uint64_t epoch) {
  std::string text(16, '0');
  for (size_t i = text.size(); epoch != 0; epoch >>= 4) text[--i] = "0123456789abcdef"[epoch & 15];
  return text;
}

std::optional<uint64_t> parse_epoch(std::string_view text) {
  uint64_t value = 0;
  if (text.size() != 16) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size() || value == 0) return std::nullopt;
  return value;
}

uint64_t new_epoch() {
  uint64_t value = 0;
  while (value == 0) {
    const std::string bytes = crypto::random_bytes(sizeof value);
    std::memcpy(&value, bytes.data(), sizeof value);
  }
  return value;
}

}  // namespace raymesh::realtime
