// Authenticated encryption with a 256-bit key, a 96-bit nonce and a 128-bit tag, in place and
// without allocation: ChaCha20-Poly1305 (RFC 8439) and AES-256-GCM (NIST SP 800-38D). Pure
// functions of their arguments; any thread.
//
// A key is 32 bytes in the caller's memory and nothing else: no context belongs to it, so a session
// costs nothing here. Short texts go through libsodium, which has no set-up, long ones through
// OpenSSL, which is faster per byte, on a context of the thread that is given the key for the call
// and another one after it (docs/adr/0042-which-library-for-which-primitive.md has the figures).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "libs/crypto/secret_array.hpp"

namespace raymesh::crypto {

enum class AeadCipher : uint8_t { kChaCha20Poly1305, kAes256Gcm };

inline constexpr size_t kAeadNonceBytes = 12;
inline constexpr size_t kAeadTagBytes = 16;

using AeadNonce = std::span<const char, kAeadNonceBytes>;

/// Encrypts `text` where it is and writes its tag. A nonce must never be used twice with one key.
/// At most 2^31 - 1 bytes.
void aead_seal(AeadCipher cipher, const Secret32& key, AeadNonce nonce, std::string_view aad,
               std::span<char> text, std::span<char, kAeadTagBytes> tag);

/// Decrypts `text` where it is. False when the tag is not that of text, nonce and `aad` under this
/// key; then `text` has become zeros, so that nobody can use it by mistake. Tags are compared in
/// constant time.
[[nodiscard]] bool aead_open(AeadCipher cipher, const Secret32& key, AeadNonce nonce,
                             std::string_view aad, std::span<char> text,
                             std::span<const char, kAeadTagBytes> tag);

/// Which library a call takes. For tests and benchmarks, which compare the two.
enum class AeadBackend : uint8_t { kFastest, kSodium, kOpenSsl };
void aead_seal_with(AeadBackend backend, AeadCipher cipher, const Secret32& key, AeadNonce nonce,
                    std::string_view aad, std::span<char> text, std::span<char, kAeadTagBytes> tag);
[[nodiscard]] bool aead_open_with(AeadBackend backend, AeadCipher cipher, const Secret32& key,
                                  AeadNonce nonce, std::string_view aad, std::span<char> text,
                                  std::span<const char, kAeadTagBytes> tag);
/// Whether libsodium has AES-256-GCM on this processor.
bool sodium_has_aes256gcm();

}  // namespace raymesh::crypto
