#include "libs/raystream/frame.hpp"

#include <endian.h>

#include <cstring>

namespace raymesh::raystream {
namespace {

uint32_t read_u32(std::string_view bytes, size_t at) {
  uint32_t value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return be32toh(value);
}

void write_u32(char* out, uint32_t value) {
  value = htobe32(value);
  std::memcpy(out, &value, sizeof value);
}

ParsedFrame refused(ErrorCode code, std::string_view why) {
  return {.status = ParseStatus::kRefused, .refusal = {code, why}};
}

}  // namespace

void write_header(char* out, FrameType type, uint32_t sequence, uint32_t payload_bytes) {
  out[0] = static_cast<char>(kVersion);
  out[1] = static_cast<char>(type);
  out[2] = out[3] = 0;
  write_u32(out + 4, sequence);
  write_u32(out + 8, payload_bytes);
  write_u32(out + 12, 0);
}

void write_nonce(char* out, uint64_t epoch, uint32_t sequence) {
  write_u32(out, static_cast<uint32_t>(epoch >> 32));
  write_u32(out + 4, static_cast<uint32_t>(epoch));
  write_u32(out + 8, sequence);
}

ParsedFrame parse_frame(std::string_view in, const Expected& expected) {
  // A stranger that speaks another protocol shows with its first byte.
  if (!in.empty() && static_cast<uint8_t>(in[0]) != kVersion)
    return refused(ErrorCode::kInvalidRequest, "not a frame of version 1");
  if (in.size() < kHeaderBytes) return {.bytes = kFrameOverhead};
  const auto type = static_cast<FrameType>(in[1]);
  if (bit(type) == 0) return refused(ErrorCode::kInvalidRequest, "unknown frame type");
  if (in[2] != 0 || in[3] != 0) return refused(ErrorCode::kInvalidRequest, "flags are not zero");
  if (read_u32(in, 12) != 0)
    return refused(ErrorCode::kInvalidRequest, "reserved bytes are not zero");
  if ((expected.types & bit(type)) == 0)
    return refused(ErrorCode::kInvalidRequest, "a frame of this type may not come now");
  const uint32_t payload = read_u32(in, 8);
  if (payload > expected.max_payload)
    return refused(ErrorCode::kInvalidRequest, "the payload is above the limit");
  if (read_u32(in, 4) != expected.sequence)
    return refused(ErrorCode::kInvalidNonce, "not the sequence that is next");
  const size_t whole = kFrameOverhead + payload;
  if (in.size() < kPayloadOffset) return {.bytes = whole};
  char nonce[kNonceBytes];
  write_nonce(nonce, expected.epoch, expected.sequence);
  // A nonce is no secret, so this comparison need not be constant in time.
  if (std::memcmp(in.data() + kHeaderBytes, nonce, kNonceBytes) != 0)
    return refused(ErrorCode::kInvalidNonce, "not the nonce that is next");
  if (in.size() < whole) return {.bytes = whole};
  return {.status = ParseStatus::kFrame, .bytes = whole, .type = type};
}

}  // namespace raymesh::raystream
