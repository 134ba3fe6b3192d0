// X25519 (RFC 7748), by libsodium. Pure functions without allocation; any thread.
#pragma once

#include <array>
#include <string_view>

#include "libs/crypto/secret_array.hpp"

namespace raymesh::crypto {

inline constexpr size_t kX25519Bytes = 32;
using X25519PublicKey = std::array<char, kX25519Bytes>;

/// A new random private key.
void x25519_generate(Secret32& private_key);
/// The same, and the public key that belongs to it.
void x25519_generate(Secret32& private_key, X25519PublicKey& public_key);

/// The public key of a private key.
void x25519_public_key(const Secret32& private_key, X25519PublicKey& public_key);

/// The shared secret with the owner of `their_public`, which must have 32 bytes. False, with
/// `shared` all zero, when the result is all zero: their key is a point of low order, and the
/// secret would be known to everybody (RFC 7748 section 6.1). The check takes the same time for
/// all results.
[[nodiscard]] bool x25519_shared(const Secret32& private_key, std::string_view their_public,
                                 Secret32& shared);

}  // namespace raymesh::crypto
