// A secret of a fixed size (a key, a shared secret), wiped when it goes. It can neither be copied
// nor moved: it is filled where it is used, on the stack of the function that needs it, or in
// memory of SecretArena when it lives longer. A value; any thread may use its own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "libs/crypto/secret.hpp"

namespace raymesh::crypto {

template <size_t kSize>
class SecretArray {
 public:
  SecretArray() = default;
  SecretArray(const SecretArray&) = delete;
  SecretArray& operator=(const SecretArray&) = delete;
  ~SecretArray() { clear(); }

  static constexpr size_t size() { return kSize; }
  unsigned char* data() { return bytes_.data(); }
  const unsigned char* data() const { return bytes_.data(); }
  std::string_view view() const { return {reinterpret_cast<const char*>(bytes_.data()), kSize}; }

  /// Copies `bytes`; ends the process when they have another size.
  void assign(std::string_view bytes) {
    if (bytes.size() != kSize) std::abort();
    std::memcpy(bytes_.data(), bytes.data(), kSize);
  }
  void clear() { wipe(bytes_.data(), kSize); }
  /// Whether all bytes are zero; takes the same time for all contents.
  bool is_zero() const {
    unsigned char any = 0;
    for (const unsigned char byte : bytes_) any |= byte;
    return any == 0;
  }

 private:
  std::array<unsigned char, kSize> bytes_{};
};

using Secret32 = SecretArray<32>;

}  // namespace raymesh::crypto
