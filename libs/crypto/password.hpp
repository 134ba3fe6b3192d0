// Argon2id (RFC 9106) for passwords, as PHC strings:
//   $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>
// One call takes tens of milliseconds and `memory_kib` of memory: run it on a bounded pool for
// blocking work, never on an Asio, gRPC or CAF scheduler thread. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"

namespace raymesh::crypto {

/// The defaults are OWASP's (Password Storage Cheat Sheet, Argon2id, second row). One lane: what
/// libsodium computes.
struct Argon2Parameters {
  uint32_t memory_kib = 19'456;
  uint32_t passes = 2;

  bool operator==(const Argon2Parameters&) const = default;
};

/// The bounds of what `verify_password` will compute, so that a row in a table cannot make a
/// server take all its memory.
inline constexpr uint32_t kMaxArgon2MemoryKib = 65'536;
inline constexpr uint32_t kMaxArgon2Passes = 8;
inline constexpr uint32_t kMaxArgon2Lanes = 4;
/// Longer passwords are refused before any work.
inline constexpr size_t kMaxPasswordBytes = 1'024;

/// Hashes with a new random salt. Errors: `weak_password` (longer than kMaxPasswordBytes),
/// `overloaded` (no memory).
Result<std::string> hash_password(std::string_view password, const Argon2Parameters& = {});

/// Whether the password is the one that was hashed. Errors: `internal` for a string that is not
/// an Argon2id PHC string within the bounds above, `overloaded` (no memory).
Result<bool> verify_password(std::string_view phc, std::string_view password);

/// True when the hash was made with other parameters: hash anew at the next good login.
bool needs_rehash(std::string_view phc, const Argon2Parameters& = {});

}  // namespace raymesh::crypto
