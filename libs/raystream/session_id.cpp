#include "libs/raystream/session_id.hpp"

#include "libs/base/encoding.hpp"
#include "libs/crypto/random.hpp"
#include "libs/raystream/protocol.hpp"

namespace raymesh::raystream {

bool is_session_id(std::string_view text) {
  if (text.size() != kSessionIdBytes) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  const char variant = text[19];
  return text[14] == '7' && (variant == '8' || variant == '9' || variant == 'a' || variant == 'b');
}

std::string new_session_id(uint64_t unix_ms) {
  std::string raw = crypto::random_bytes(16);
  for (size_t i = 0; i < 6; ++i) raw[i] = static_cast<char>(unix_ms >> (8 * (5 - i)) & 0xff);
  raw[6] = static_cast<char>((raw[6] & 0x0f) | 0x70);
  raw[8] = static_cast<char>((raw[8] & 0x3f) | 0x80);
  std::string id = hex_encode(raw);
  for (const size_t dash : {8, 13, 18, 23}) id.insert(dash, 1, '-');
  return id;
}

}  // namespace raymesh::raystream
