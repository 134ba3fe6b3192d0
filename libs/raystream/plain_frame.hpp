// The frames that are not encrypted: sequence 0, nonce and tag zero. HANDSHAKE_INIT is one, and the
// CLOSE by which a server refuses before it has sent HANDSHAKE_RESPONSE. Pure functions; any
// thread.
#pragma once

#include <string>
#include <string_view>

#include "libs/raystream/frame.hpp"
#include "libs/raystream/outgoing_buffer.hpp"

namespace raymesh::raystream {

/// Whether a frame that `parse_frame` has delimited has a tag of zeros.
bool has_zero_tag(std::string_view frame);

/// Appends a plain frame and returns where it begins.
char* append_plain_frame(FrameType type, std::string_view payload, OutgoingBuffer& out);

/// The payload of a CLOSE frame; `reason` is cut at 256 bytes, between two characters of UTF-8, and
/// left out when it is not UTF-8.
std::string close_payload(ErrorCode code, std::string_view reason);

struct CloseReason {
  ErrorCode code = ErrorCode::kNone;
  std::string reason;
};
/// What a CLOSE frame says. A code that this version does not know, or a payload that is no
/// message, is INVALID_REQUEST: that the connection ends is certain in any case.
CloseReason read_close(std::string_view payload);

/// What a server answers in place of HANDSHAKE_RESPONSE.
void append_plain_close(ErrorCode code, std::string_view reason, OutgoingBuffer& out);

}  // namespace raymesh::raystream
