// The outer form of frames: 16 bytes of header, 12 of nonce, the payload, 16 of tag. A parser that
// holds what comes against what may come, from the header alone, and never looks into a payload;
// and writers of the parts. Pure functions without state; any thread, each with its own bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "libs/raystream/protocol.hpp"

namespace raymesh::raystream {

/// What the next frame of a direction must be. There is exactly one sequence and nonce that is
/// right.
struct Expected {
  FrameTypes types = 0;
  uint32_t max_payload = 0;
  uint64_t epoch = 0;
  uint32_t sequence = 0;
};

enum class ParseStatus : uint8_t { kFrame, kNeedMore, kRefused };

struct ParsedFrame {
  ParseStatus status = ParseStatus::kNeedMore;
  /// kFrame: the bytes of the whole frame. kNeedMore: how many bytes the frame at the start of the
  /// input has in all, as far as can be told yet (always more than there are).
  size_t bytes = 0;
  FrameType type = FrameType::kClose;  // kFrame
  Refusal refusal{};                   // kRefused
};

/// Looks at the frame at the start of `in`. What is wrong is refused with the first bytes that show
/// it, before the payload has come: INVALID_REQUEST for another version, an unknown type, flags or
/// reserved bytes that are not zero, a type that may not come now and a payload above the limit;
/// INVALID_NONCE for another sequence or nonce than the one that is next.
ParsedFrame parse_frame(std::string_view in, const Expected& expected);

/// Parts of a whole frame, as `parse_frame` has delimited it.
inline std::string_view payload_of(std::string_view frame) {
  return frame.substr(kPayloadOffset, frame.size() - kFrameOverhead);
}
inline std::span<char> payload_of(std::span<char> frame) {
  return frame.subspan(kPayloadOffset, frame.size() - kFrameOverhead);
}
inline std::span<const char, kTagBytes> tag_of(std::string_view frame) {
  return std::span<const char, kTagBytes>(frame.data() + frame.size() - kTagBytes, kTagBytes);
}

/// Writes kHeaderBytes to `out`.
void write_header(char* out, FrameType type, uint32_t sequence, uint32_t payload_bytes);
/// Writes kNonceBytes to `out`: the epoch, then the sequence, big-endian.
void write_nonce(char* out, uint64_t epoch, uint32_t sequence);

}  // namespace raymesh::raystream
