// The keys that sign tokens. Several at once, so that they can be rotated without logging anybody
// out: the first one signs, all of them verify; add the new key at the end everywhere, then move
// it to the front, then drop the old one when its last token has expired (docs/security/tokens.md).
// Immutable after start-up: any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/crypto/hash.hpp"

namespace raymesh::crypto {

struct SigningKey {
  std::string id;  // `kid` of RFC 7515 section 4.1.4
  HmacKey hmac;
  /// The encoded JOSE header of this key's tokens, with the dot after it.
  std::string header;
};

class KeyRing {
 public:
  /// RFC 7518 section 3.2: a key for HS256 has at least 256 bits.
  static constexpr size_t kMinSecretBytes = 32;
  static constexpr size_t kMaxKeys = 16;

  /// From "kid:secret" texts; a kid is 1 to 32 characters of [A-Za-z0-9._-]. Errors:
  /// `invalid_value`, naming the key by position and kid and never by its secret.
  static Result<KeyRing> parse(std::span<const std::string> pairs);
  /// A new random "kid:secret", for development and tests.
  static std::string generate(std::string_view kid);

  const SigningKey& signing() const { return keys_.front(); }
  std::span<const SigningKey> keys() const { return keys_; }

 private:
  explicit KeyRing(std::vector<SigningKey> keys) : keys_(std::move(keys)) {}

  // Invariant: at least one key, ids are unique.
  std::vector<SigningKey> keys_;
};

}  // namespace raymesh::crypto
