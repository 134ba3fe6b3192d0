// RFC 6455 frames as bytes, nothing else: a parser for what clients send, which works on the read
// buffer itself and unmasks in place, and an encoder for what servers send. Pure functions without
// state (an idle connection needs none); any thread, each with its own bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace raymesh::net::websocket {

/// RFC 6455 section 5.2; all other values are reserved.
enum class Opcode : uint8_t {
  kContinuation = 0x0,
  kText = 0x1,
  kBinary = 0x2,
  kClose = 0x8,
  kPing = 0x9,
  kPong = 0xa,
};
inline bool is_control(Opcode opcode) {
  return (static_cast<uint8_t>(opcode) & 0x8) != 0;
}

/// Close codes of RFC 6455 section 7.4.1 that the protocol itself uses. An application's codes
/// (4000-4999) are plain numbers.
namespace close_code {
inline constexpr uint16_t kNormal = 1000;
inline constexpr uint16_t kGoingAway = 1001;
inline constexpr uint16_t kProtocolError = 1002;
inline constexpr uint16_t kUnsupportedData = 1003;
inline constexpr uint16_t kInvalidPayload = 1007;
inline constexpr uint16_t kPolicyViolation = 1008;
inline constexpr uint16_t kMessageTooBig = 1009;
inline constexpr uint16_t kInternalError = 1011;
inline constexpr uint16_t kServiceRestart = 1012;
}  // namespace close_code

/// Whether a peer may send this code in a close frame (section 7.4: 1005, 1006 and 1015 are never
/// on the wire, unassigned ones below 3000 neither).
bool is_valid_close_code(uint16_t code);

inline constexpr size_t kMaxControlPayload = 125;
inline constexpr size_t kMaxServerHeader = 10;
inline constexpr size_t kMaxClientHeader = 14;

/// One frame of a client, its payload unmasked and still in the buffer that was parsed.
struct Frame {
  Opcode opcode = Opcode::kContinuation;
  bool fin = true;
  std::span<char> payload;
  bool compressed = false;  // RSV1, see Rsv1
};

/// What the first reserved bit may mean on a connection.
enum class Rsv1 : uint8_t {
  kReserved,    // nothing: no extension was agreed on
  kCompressed,  // permessage-deflate was: set in a message's first frame, the message is compressed
};

/// The most bytes that a message of `bytes` may have when it is compressed: what cannot be
/// compressed grows a little.
constexpr size_t max_compressed_bytes(size_t bytes) {
  return bytes + bytes / 8 + 64;
}

enum class ParseStatus : uint8_t { kFrame, kNeedMore, kError };

struct ParseResult {
  ParseStatus status = ParseStatus::kNeedMore;
  /// kFrame: the bytes that the frame took. kNeedMore: the bytes that the frame at the start of
  /// the buffer has in all, as far as its header tells yet (always more than there are).
  size_t bytes = 0;
  /// kError: what the connection is to be closed with: 1002 or 1009.
  uint16_t error = 0;
};

/// Parses the frame at the start of `in`. A bad header is refused as soon as it can be seen, before
/// its payload has come: no mask, reserved bits or opcodes, a length not in its shortest form, a
/// control frame that is fragmented or above 125 bytes (all 1002), a payload above `max_payload`
/// (1009; of a compressed frame: above what such a message may have compressed). On kFrame the
/// payload has been unmasked in place, so the bytes must not be parsed again.
ParseResult parse_client_frame(std::span<char> in, size_t max_payload, Frame& out,
                               Rsv1 rsv1 = Rsv1::kReserved);

/// Section 5.3, in place, eight bytes at a time. `mask` as it stands on the wire.
void apply_mask(std::span<char> data, const unsigned char mask[4]);

/// Writes the header of a final, unmasked frame to `out` (room for kMaxServerHeader) and returns
/// its length.
size_t write_server_header(char* out, Opcode opcode, size_t payload_bytes);
/// 2, 4 or 10.
size_t server_header_bytes(size_t payload_bytes);
void append_server_frame(std::string& out, Opcode opcode, std::string_view payload);

/// The whole length of the frame that starts at `frame`: header and payload. For walking over
/// frames that this process has encoded itself.
size_t server_frame_bytes(const char* frame);

/// A close frame; `reason` is cut to what a control frame holds, at a UTF-8 boundary. Code 0 makes
/// the empty close frame.
std::string close_frame(uint16_t code, std::string_view reason);

struct ClosePayload {
  uint16_t code = 0;  // 0: the frame was empty (1005 in section 7.1.5)
  std::string_view reason;
};
/// The content of a received close frame. Returns 0, or the code to fail the connection with: 1002
/// for one byte or a forbidden code, 1007 for a reason that is not UTF-8.
uint16_t parse_close_payload(std::string_view payload, ClosePayload& out);

}  // namespace raymesh::net::websocket
