#include "libs/crypto/random.hpp"

#include <sodium.h>

#include <cstdio>
#include <cstdlib>

#include "libs/base/encoding.hpp"
#include "libs/crypto/secret.hpp"
#include "libs/crypto/sodium_ready.hpp"

namespace raymesh::crypto {

void require_sodium() {
  static const int kReady = sodium_init();
  if (kReady >= 0) return;
  std::fputs("raymesh: libsodium cannot start\n", stderr);
  std::abort();
}

std::string random_bytes(size_t count) {
  require_sodium();
  std::string out(count, '\0');
  randombytes_buf(out.data(), out.size());
  return out;
}

std::string random_token(size_t bytes) {
  std::string raw = random_bytes(bytes);
  WipeOnExit wiped(raw);
  return base64url_encode(raw);
}

std::string random_uuid() {
  std::string raw = random_bytes(16);
  raw[6] = static_cast<char>((raw[6] & 0x0f) | 0x40);
  raw[8] = static_cast<char>((raw[8] & 0x3f) | 0x80);
  std::string out = hex_encode(raw);
  for (size_t dash : {8, 13, 18, 23}) out.insert(dash, 1, '-');
  return out;
}

}  // namespace raymesh::crypto
