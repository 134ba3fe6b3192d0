#include "libs/net/websocket/utf8_stream.hpp"

#include <cstring>

#include <simdjson.h>

namespace raymesh::net::websocket {
namespace {

/// The length that the sequence has according to its first byte; 0 for a byte that starts none.
size_t sequence_bytes(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

/// Whether `text`, shorter than its first byte says, can still become a well-formed sequence
/// (table 3-7 of the Unicode standard: the second byte is restricted after E0, ED, F0 and F4).
bool is_prefix(const char* text, size_t size) {
  const auto* p = reinterpret_cast<const unsigned char*>(text);
  unsigned low = 0x80;
  unsigned high = 0xbf;
  if (p[0] == 0xe0) low = 0xa0;
  if (p[0] == 0xed) high = 0x9f;
  if (p[0] == 0xf0) low = 0x90;
  if (p[0] == 0xf4) high = 0x8f;
  if (size > 1 && (p[1] < low || p[1] > high)) return false;
  for (size_t i = 2; i < size; ++i)
    if ((p[i] & 0xc0) != 0x80) return false;
  return true;
}

}  // namespace

bool is_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

bool Utf8Stream::feed(std::string_view piece) {
  if (pending_size_ > 0) {
    const size_t whole = sequence_bytes(static_cast<unsigned char>(pending_[0]));
    while (pending_size_ < whole && !piece.empty()) {
      pending_[pending_size_++] = piece.front();
      piece.remove_prefix(1);
    }
    if (pending_size_ < whole) return is_prefix(pending_, pending_size_);
    if (!is_utf8({pending_, whole})) return false;
    pending_size_ = 0;
  }
  // A sequence that the end of the piece cuts off starts at one of its last three bytes.
  size_t cut = 0;
  for (size_t back = 1; back <= 3 && back <= piece.size(); ++back) {
    const auto byte = static_cast<unsigned char>(piece[piece.size() - back]);
    if ((byte & 0xc0) == 0x80) continue;
    if (sequence_bytes(byte) > back) cut = back;
    break;
  }
  if (!is_utf8(piece.substr(0, piece.size() - cut))) return false;
  std::memcpy(pending_, piece.data() + piece.size() - cut, cut);
  pending_size_ = static_cast<unsigned char>(cut);
  return cut == 0 || is_prefix(pending_, cut);
}

}  // namespace raymesh::net::websocket
