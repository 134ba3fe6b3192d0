// SHA-256 and HMAC-SHA-256 (OpenSSL, which uses the processor's SHA instructions) and the
// comparison for secrets. Pure functions and immutable values: any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace raymesh::crypto {

inline constexpr size_t kSha256Bytes = 32;

/// FIPS 180-4. 32 bytes.
std::string sha256(std::string_view data);

/// RFC 2104 with SHA-256. 32 bytes. For a key that is used often keep an HmacKey.
std::string hmac_sha256(std::string_view key, std::string_view data);

/// Takes the same time for all contents of one length; lengths are not secret. For everything that
/// is compared with a secret: tags, tokens, keys.
bool constant_time_equal(std::string_view a, std::string_view b);

/// An HMAC-SHA-256 key with its two inner states computed once. Wiped when it goes. `compute` may
/// be called by many threads at once.
class HmacKey {
 public:
  explicit HmacKey(std::string_view key);
  HmacKey(HmacKey&&) noexcept;
  HmacKey& operator=(HmacKey&&) noexcept;
  ~HmacKey();

  /// 32 bytes.
  std::string compute(std::string_view data) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace raymesh::crypto
