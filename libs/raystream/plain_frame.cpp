#include "libs/raystream/plain_frame.hpp"

#include <algorithm>
#include <cstring>

#include "libs/base/encoding.hpp"
#include "libs/raystream/handshake_frames.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"

namespace raymesh::raystream {
namespace {

constexpr size_t kMaxReason = 256;

std::string_view cut(std::string_view text) {
  if (text.size() > kMaxReason) {
    size_t end = kMaxReason;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    text = text.substr(0, end);
  }
  return is_valid_utf8(text) ? text : std::string_view();
}

}  // namespace

bool has_zero_tag(std::string_view frame) {
  const auto tag = tag_of(frame);
  return std::all_of(tag.begin(), tag.end(), [](char c) { return c == 0; });
}

char* append_plain_frame(FrameType type, std::string_view payload, OutgoingBuffer& out) {
  char* frame = out.extend(kFrameOverhead + payload.size());
  std::memset(frame, 0, kPayloadOffset);
  write_header(frame, type, 0, static_cast<uint32_t>(payload.size()));
  if (!payload.empty()) std::memcpy(frame + kPayloadOffset, payload.data(), payload.size());
  std::memset(frame + kPayloadOffset + payload.size(), 0, kTagBytes);
  return frame;
}

std::string close_payload(ErrorCode code, std::string_view reason) {
  v1::Close close;
  close.set_code(static_cast<v1::ErrorCode>(code));
  const std::string_view text = cut(reason);
  close.set_reason(text.data(), text.size());
  return close.SerializeAsString();
}

CloseReason read_close(std::string_view payload) {
  v1::Close close;
  if (!parse_message(payload, close) || !v1::ErrorCode_IsValid(close.code()))
    return {ErrorCode::kInvalidRequest, "a CLOSE frame that cannot be read"};
  return {static_cast<ErrorCode>(close.code()), std::string(cut(close.reason()))};
}

void append_plain_close(ErrorCode code, std::string_view reason, OutgoingBuffer& out) {
  (void)append_plain_frame(FrameType::kClose, close_payload(code, reason), out);
}

}  // namespace raymesh::raystream
