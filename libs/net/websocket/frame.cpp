#include "libs/net/websocket/frame.hpp"

#include <cstring>

#include "libs/base/encoding.hpp"

namespace raymesh::net::websocket {
namespace {

constexpr size_t kLength16 = 126;
constexpr size_t kLength64 = 127;

uint64_t read_big_endian(const unsigned char* p, size_t bytes) {
  uint64_t v = 0;
  for (size_t i = 0; i < bytes; ++i) v = v << 8 | p[i];
  return v;
}

ParseResult refuse(uint16_t code) {
  return {ParseStatus::kError, 0, code};
}

}  // namespace

bool is_valid_close_code(uint16_t code) {
  if (code >= 3000 && code <= 4999) return true;
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

ParseResult parse_client_frame(std::span<char> in, size_t max_payload, Frame& out, Rsv1 rsv1) {
  if (in.size() < 2) return {ParseStatus::kNeedMore, 2, 0};
  const auto* p = reinterpret_cast<const unsigned char*>(in.data());
  const bool fin = (p[0] & 0x80) != 0;
  const unsigned opcode = p[0] & 0x0f;
  const unsigned reserved = p[0] & 0x70;
  if ((opcode > 0x2 && opcode < 0x8) || opcode > 0xa) return refuse(close_code::kProtocolError);
  if (reserved != 0) {
    // RFC 7692 section 6.1: neither in continuations nor in control frames.
    const bool starts_message = opcode == 0x1 || opcode == 0x2;
    if (rsv1 != Rsv1::kCompressed || reserved != 0x40 || !starts_message)
      return refuse(close_code::kProtocolError);
    max_payload = max_compressed_bytes(max_payload);
  }
  if ((p[1] & 0x80) == 0) return refuse(close_code::kProtocolError);

  size_t header = 2;
  uint64_t length = p[1] & 0x7f;
  if (opcode >= 0x8 && (!fin || length > kMaxControlPayload))
    return refuse(close_code::kProtocolError);
  if (length >= kLength16) {
    const size_t extra = length == kLength16 ? 2 : 8;
    header += extra;
    if (in.size() < header) return {ParseStatus::kNeedMore, header + 4, 0};
    length = read_big_endian(p + 2, extra);
    const uint64_t shortest = extra == 2 ? kLength16 : 0x10000;
    if (length < shortest || length >> 63 != 0) return refuse(close_code::kProtocolError);
  }
  if (length > max_payload) return refuse(close_code::kMessageTooBig);
  header += 4;
  const size_t whole = header + static_cast<size_t>(length);
  if (in.size() < whole) return {ParseStatus::kNeedMore, whole, 0};

  out.opcode = static_cast<Opcode>(opcode);
  out.fin = fin;
  out.compressed = reserved != 0;
  out.payload = in.subspan(header, static_cast<size_t>(length));
  apply_mask(out.payload, p + header - 4);
  return {ParseStatus::kFrame, whole, 0};
}

void apply_mask(std::span<char> data, const unsigned char mask[4]) {
  uint32_t word;
  std::memcpy(&word, mask, 4);
  if (word == 0) return;
  const uint64_t wide = static_cast<uint64_t>(word) << 32 | word;
  char* p = data.data();
  size_t left = data.size();
  for (; left >= 8; left -= 8, p += 8) {
    uint64_t v;
    std::memcpy(&v, p, 8);
    v ^= wide;
    std::memcpy(p, &v, 8);
  }
  for (size_t i = 0; i < left; ++i) p[i] = static_cast<char>(p[i] ^ static_cast<char>(mask[i & 3]));
}

size_t server_header_bytes(size_t payload_bytes) {
  if (payload_bytes < kLength16) return 2;
  return payload_bytes < 0x10000 ? 4 : 10;
}

size_t write_server_header(char* out, Opcode opcode, size_t payload_bytes) {
  out[0] = static_cast<char>(0x80 | static_cast<unsigned>(opcode));
  const size_t header = server_header_bytes(payload_bytes);
  if (header == 2) {
    out[1] = static_cast<char>(payload_bytes);
    return header;
  }
  out[1] = static_cast<char>(header == 4 ? kLength16 : kLength64);
  for (size_t i = header; i > 2; --i, payload_bytes >>= 8)
    out[i - 1] = static_cast<char>(payload_bytes);
  return header;
}

void append_server_frame(std::string& out, Opcode opcode, std::string_view payload) {
  char header[kMaxServerHeader];
  out.append(header, write_server_header(header, opcode, payload.size()));
  out.append(payload);
}

size_t server_frame_bytes(const char* frame) {
  const auto* p = reinterpret_cast<const unsigned char*>(frame);
  if (p[1] < kLength16) return 2u + p[1];
  if (p[1] == kLength16) return 4 + static_cast<size_t>(read_big_endian(p + 2, 2));
  return 10 + static_cast<size_t>(read_big_endian(p + 2, 8));
}

std::string close_frame(uint16_t code, std::string_view reason) {
  std::string payload;
  if (code != 0) {
    payload += static_cast<char>(code >> 8);
    payload += static_cast<char>(code);
    size_t room = std::min(reason.size(), kMaxControlPayload - 2);
    while (room > 0 && room < reason.size() && (reason[room] & 0xc0) == 0x80) --room;
    payload.append(reason.substr(0, room));
  }
  std::string out;
  append_server_frame(out, Opcode::kClose, payload);
  return out;
}

uint16_t parse_close_payload(std::string_view payload, ClosePayload& out) {
  out = {};
  if (payload.empty()) return 0;
  if (payload.size() == 1) return close_code::kProtocolError;
  const auto* p = reinterpret_cast<const unsigned char*>(payload.data());
  const auto code = static_cast<uint16_t>(read_big_endian(p, 2));
  if (!is_valid_close_code(code)) return close_code::kProtocolError;
  if (!is_valid_utf8(payload.substr(2))) return close_code::kInvalidPayload;
  out.code = code;
  out.reason = payload.substr(2);
  return 0;
}

}  // namespace raymesh::net::websocket
