// What both sides of a handshake do alike with its frames. Private to this library; pure functions.
#pragma once

#include <string_view>

#include "libs/raystream/frame.hpp"
#include "libs/raystream/key_schedule.hpp"

namespace google::protobuf {
class MessageLite;
}

namespace raymesh::raystream {

/// Refuses what is not exactly one frame as expected. HANDSHAKE_RESPONSE may have a tag, the others
/// must have one of zeros.
Refusal check_plain_frame(std::string_view frame, const Expected& expected);

/// False for what is no such message, or has more than kMaxHandshakeFields fields.
bool parse_message(std::string_view bytes, google::protobuf::MessageLite& message);

/// What the binder covers: SHA-256 of the header of the INIT frame and the offer in it.
Hash hash_of_offer(std::string_view frame, std::string_view offer);

/// The tag of RESPONSE: that of the empty text under the server's first key, with the transcript as
/// additional data and the nonce of sequence 0, which no other frame has.
void make_confirmation(Cipher cipher, const crypto::Secret32& key, const Hash& transcript,
                       std::span<char, kTagBytes> tag);
bool confirmation_fits(Cipher cipher, const crypto::Secret32& key, const Hash& transcript,
                       std::span<const char, kTagBytes> tag);

}  // namespace raymesh::raystream
