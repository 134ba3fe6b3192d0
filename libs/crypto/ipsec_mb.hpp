// The AEADs of Intel's library for packets (intel-ipsec-mb), which are made for short texts and
// take the widest instructions that the processor has. Only its direct functions are used: no
// queue, no state but what the caller hands in. Inside libs/crypto; without the library, or on a
// processor without AES instructions, `is_available` is false and nothing else may be called.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "libs/crypto/aead.hpp"

namespace raymesh::crypto::ipsec_mb {

/// The first call looks at the processor and lets the library test itself (a millisecond).
bool is_available();

/// AES's round keys and the powers of GHASH's key for `key`, written to `room`. The caller wipes
/// it.
void expand(const Secret32& key, ExpandedKeyRoom& room);

// As aead_seal and aead_open; a tag that does not fit leaves `text` decrypted.
void aes_seal(const ExpandedKeyRoom& key, AeadNonce nonce, std::string_view aad,
              std::span<char> text, std::span<char, kAeadTagBytes> tag);
[[nodiscard]] bool aes_open(const ExpandedKeyRoom& key, AeadNonce nonce, std::string_view aad,
                            std::span<char> text, std::span<const char, kAeadTagBytes> tag);
void chacha_seal(const Secret32& key, AeadNonce nonce, std::string_view aad, std::span<char> text,
                 std::span<char, kAeadTagBytes> tag);
[[nodiscard]] bool chacha_open(const Secret32& key, AeadNonce nonce, std::string_view aad,
                               std::span<char> text, std::span<const char, kAeadTagBytes> tag);

}  // namespace raymesh::crypto::ipsec_mb
