#include "libs/raystream/handshake_frames.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include "libs/raystream/plain_frame.hpp"

namespace raymesh::raystream {
namespace {

constexpr char kZeroNonce[kNonceBytes] = {};

// Two bytes of a stranger's are a field, for which Protobuf takes a hundred: counted before it may.
bool has_too_many_fields(std::string_view bytes) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  for (size_t fields = 0;; ++fields) {
    const uint32_t tag = in.ReadTag();
    if (tag == 0 || !WireFormatLite::SkipField(&in, tag)) return false;  // its end, or malformed
    if (fields == kMaxHandshakeFields) return true;
  }
}

}  // namespace

Refusal check_plain_frame(std::string_view frame, const Expected& expected) {
  const ParsedFrame parsed = parse_frame(frame, expected);
  if (parsed.status == ParseStatus::kRefused) return parsed.refusal;
  if (parsed.status == ParseStatus::kNeedMore || parsed.bytes != frame.size())
    return {ErrorCode::kInvalidRequest, "not exactly one frame"};
  if (parsed.type != FrameType::kHandshakeResponse && !has_zero_tag(frame))
    return {ErrorCode::kInvalidRequest, "a plain frame has a tag of zeros"};
  return {};
}

bool parse_message(std::string_view bytes, google::protobuf::MessageLite& message) {
  return !has_too_many_fields(bytes) &&
         message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

Hash hash_of_offer(std::string_view frame, std::string_view offer) {
  crypto::Sha256 hash;
  return finish(hash.update(frame.substr(0, kHeaderBytes)).update(offer));
}

void make_confirmation(Cipher cipher, const crypto::Secret32& key, const Hash& transcript,
                       std::span<char, kTagBytes> tag) {
  crypto::aead_seal(cipher, key, kZeroNonce, view(transcript), {}, tag);
}

bool confirmation_fits(Cipher cipher, const crypto::Secret32& key, const Hash& transcript,
                       std::span<const char, kTagBytes> tag) {
  return crypto::aead_open(cipher, key, kZeroNonce, view(transcript), {}, tag);
}

}  // namespace raymesh::raystream
