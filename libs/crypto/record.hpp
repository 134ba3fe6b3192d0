// Authenticated encryption of records that lie with somebody else: XChaCha20-Poly1305
// (draft-irtf-cfrg-xchacha-03; libsodium) with a random nonce of 24 bytes, so that no writer has to
// know what others have written under the same key. Pure functions; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "libs/crypto/secret.hpp"
#include "libs/crypto/secret_array.hpp"

namespace raymesh::crypto {

inline constexpr size_t kRecordNonceBytes = 24;
inline constexpr size_t kRecordTagBytes = 16;
inline constexpr size_t kRecordOverhead = kRecordNonceBytes + kRecordTagBytes;

/// Appends a new random nonce, the encrypted text and its tag to `out`. `aad` is not in it.
void seal_record(const Secret32& key, std::string_view aad, std::string_view text,
                 std::string& out);
/// nullopt: not sealed under this key with this `aad`, or changed since.
std::optional<Secret> open_record(const Secret32& key, std::string_view aad,
                                  std::string_view sealed);

/// The same with a given nonce, which must never be used twice: for known answers.
void seal_record_with(std::span<const char, kRecordNonceBytes> nonce, const Secret32& key,
                      std::string_view aad, std::string_view text, std::string& out);

}  // namespace raymesh::crypto
