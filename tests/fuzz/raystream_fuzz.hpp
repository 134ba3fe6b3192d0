// What the raystream targets have in common: fixed keys, so that a seed from the known answers of
// docs/protocols/raystream.md leads all the way into a session, and an input that is used up.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "libs/base/encoding.hpp"
#include "libs/raystream/client_handshake.hpp"
#include "libs/raystream/server_handshake.hpp"

namespace raymesh::raystream::fuzz {

inline void require(bool condition) {
  if (!condition) std::abort();
}

inline const std::string kSessionId = "018f0000-0000-7000-8000-000000000000";
inline constexpr uint64_t kExpiry = 1'735'689'600'000;

/// RFC 8032 section 7.1, test 1.
inline const ServerKeys& keys() {
  static const ServerKeys kKeys =
      ServerKeys::parse(std::vector<std::string>{
                            "test:" + base64url_encode(*hex_decode(
                                          "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac0"
                                          "31cae7f60"))})
          .value();
  return kKeys;
}

/// RFC 7748 section 6.1: the client is Alice, the server Bob.
inline const crypto::Secret32& alice() {
  static crypto::Secret32 key;
  key.assign(*hex_decode("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  return key;
}
inline const crypto::Secret32& bob() {
  static crypto::Secret32 key;
  key.assign(*hex_decode("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
  return key;
}

/// The secret of the session that the known answers resume.
inline std::string resumption_secret() {
  return *hex_decode("e0e86e1e74f4a5daa393bf25a43a7fe7a28e2eb00e1c139aed614492bae4478c");
}

inline std::string take(OutgoingBuffer& out) {
  std::string bytes(out.bytes());
  out.consumed(bytes.size());
  return bytes;
}

/// Bytes of the input, one after the other; zeros behind its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return at_ >= size_; }
  uint8_t byte() { return empty() ? 0 : data_[at_++]; }
  uint16_t two() { return static_cast<uint16_t>(byte() << 8 | byte()); }
  std::string rest() {
    std::string out(reinterpret_cast<const char*>(data_ + at_), size_ - at_);
    at_ = size_;
    return out;
  }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

}  // namespace raymesh::raystream::fuzz
