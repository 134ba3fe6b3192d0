// SHA-256, HMAC-SHA-256 and HKDF-SHA-256 piece by piece and without allocating: for transcripts and
// key schedules. The states are values of fixed size that are wiped when they go; one owner each.
// For one text at once, or a key for many threads, see hash.hpp.
#pragma once

#include <cstddef>
#include <string_view>

#include "libs/crypto/secret_array.hpp"

namespace raymesh::crypto {

/// FIPS 180-4. A copy goes on from the same prefix.
class Sha256 {
 public:
  static constexpr size_t kBytes = 32;

  Sha256();
  Sha256(const Sha256&) = default;
  Sha256& operator=(const Sha256&) = default;
  ~Sha256();

  Sha256& update(std::string_view data);
  /// Writes kBytes to `out` and begins anew.
  void finish(unsigned char* out);

 private:
  // OpenSSL's SHA256_CTX; the size is checked in the source.
  alignas(8) unsigned char state_[112];
};

/// RFC 2104. Begins anew, with the same key, after `finish`.
class HmacSha256 {
 public:
  explicit HmacSha256(std::string_view key);

  HmacSha256& update(std::string_view data);
  /// Writes 32 bytes to `out`.
  void finish(unsigned char* out);

 private:
  Sha256 inner_key_;
  Sha256 outer_key_;
  Sha256 inner_;
};

/// RFC 5869 section 2.2. An empty salt is the same as 32 zero bytes.
void hkdf_extract(std::string_view salt, std::string_view ikm, Secret32& prk);

/// RFC 5869 section 2.3, at most 255 * 32 bytes; ends the process when more are asked for. `out`
/// may be where `prk` is, since that is read once, at the start.
void hkdf_expand(std::string_view prk, std::string_view info, unsigned char* out, size_t size);
inline void hkdf_expand(std::string_view prk, std::string_view info, Secret32& out) {
  hkdf_expand(prk, info, out.data(), Secret32::size());
}

}  // namespace raymesh::crypto
