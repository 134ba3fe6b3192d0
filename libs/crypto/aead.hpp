// Authenticated encryption with a 256-bit key, a 96-bit nonce and a 128-bit tag, in place and
// without allocation: ChaCha20-Poly1305 (RFC 8439) and AES-256-GCM (NIST SP 800-38D). Pure
// functions of their arguments; any thread.
//
// A key is 32 bytes in the caller's memory. Whoever encrypts many texts with one key may keep what
// it is expanded to beside it, an ExpandedKey, and give that back when it rests. intel-ipsec-mb
// does it where it is there. Elsewhere short texts go through libsodium, which has no set-up, and
// long ones through OpenSSL, which is faster per byte, on a context of the thread that is given the
// key for the call and another one after it (ADR 42 and 48 have the figures).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "libs/crypto/secret_arena.hpp"
#include "libs/crypto/secret_array.hpp"

namespace raymesh::crypto {

enum class AeadCipher : uint8_t { kChaCha20Poly1305, kAes256Gcm };

inline constexpr size_t kAeadNonceBytes = 12;
inline constexpr size_t kAeadTagBytes = 16;

using AeadNonce = std::span<const char, kAeadNonceBytes>;

/// Round keys and tables of a key, in the form of the library that uses them.
struct alignas(SecretArena::kSlotUnit) ExpandedKeyRoom {
  SecretArray<SecretArena::kMaxSlot> bytes;
};

/// What one key is expanded to, in the arena of secrets: made with the first text that gains by it
/// (AES-256-GCM of intel-ipsec-mb, 1 KiB), empty until then and where nothing does. Who changes the
/// key resets it.
class ExpandedKey {
 public:
  void reset() noexcept { room_.reset(); }
  explicit operator bool() const { return static_cast<bool>(room_); }
  /// The same key each time until reset().
  const ExpandedKeyRoom& of(const Secret32& key);

 private:
  Locked<ExpandedKeyRoom> room_;
};

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

/// The same with what the key has been expanded to, or is now.
void aead_seal(AeadCipher cipher, const Secret32& key, ExpandedKey& expanded, AeadNonce nonce,
               std::string_view aad, std::span<char> text, std::span<char, kAeadTagBytes> tag);
[[nodiscard]] bool aead_open(AeadCipher cipher, const Secret32& key, ExpandedKey& expanded,
                             AeadNonce nonce, std::string_view aad, std::span<char> text,
                             std::span<const char, kAeadTagBytes> tag);

/// Which library a call takes. For tests and benchmarks, which compare them.
enum class AeadBackend : uint8_t { kFastest, kSodium, kOpenSsl, kIpsecMb };
/// Whether this processor and this build have it.
bool has_backend(AeadBackend backend, AeadCipher cipher);
void aead_seal_with(AeadBackend backend, AeadCipher cipher, const Secret32& key, AeadNonce nonce,
                    std::string_view aad, std::span<char> text, std::span<char, kAeadTagBytes> tag);
[[nodiscard]] bool aead_open_with(AeadBackend backend, AeadCipher cipher, const Secret32& key,
                                  AeadNonce nonce, std::string_view aad, std::span<char> text,
                                  std::span<const char, kAeadTagBytes> tag);
}  // namespace raymesh::crypto
