#include "libs/raystream/handshake_frames.hpp"

#include <google/protobuf/message_lite.h>

#include "libs/base/protobuf_fields.hpp"
#include "libs/raystream/plain_frame.hpp"

namespace raymesh::raystream {
namespace {

constexpr char kZeroNonce[kNonceBytes] = {};

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
  const auto fields = count_protobuf_fields(bytes, kMaxHandshakeFields);
  return fields && *fields <= kMaxHandshakeFields &&
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
