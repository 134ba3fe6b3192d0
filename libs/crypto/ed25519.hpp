// Ed25519 signatures (RFC 8032, without prehashing), by libsodium. Immutable keys; any thread.
#pragma once

#include <array>
#include <string_view>

#include "libs/base/result.hpp"
#include "libs/crypto/secret_arena.hpp"
#include "libs/crypto/secret_array.hpp"

namespace raymesh::crypto {

inline constexpr size_t kEd25519SeedBytes = 32;
inline constexpr size_t kEd25519PublicBytes = 32;
inline constexpr size_t kEd25519SignatureBytes = 64;

using Ed25519PublicKey = std::array<char, kEd25519PublicBytes>;
using Ed25519Signature = std::array<char, kEd25519SignatureBytes>;

/// A private key, in memory of the arena.
class Ed25519Key {
 public:
  /// From a seed of 32 bytes (RFC 8032 section 5.1.5). Errors: `invalid_value` for another size.
  static Result<Ed25519Key> from_seed(std::string_view seed);
  static Ed25519Key generate();

  const Ed25519PublicKey& public_key() const { return public_key_; }
  /// The seed that `from_seed` took: what is stored of a key.
  std::string_view seed() const { return secret_->view().substr(0, kEd25519SeedBytes); }
  void sign(std::string_view message, Ed25519Signature& signature) const;

 private:
  Ed25519Key() = default;

  // The seed and the public key behind it, as libsodium wants it.
  Locked<SecretArray<64>> secret_;
  Ed25519PublicKey public_key_{};
};

/// False for everything that is not a signature of `message` by the owner of `public_key`; keys of
/// low order and signatures in another than their one form are refused, too.
bool ed25519_verify(std::string_view public_key, std::string_view message,
                    std::string_view signature);

}  // namespace raymesh::crypto
