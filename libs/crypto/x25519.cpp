#include "libs/crypto/x25519.hpp"

#include <sodium.h>

#include "libs/crypto/sodium_ready.hpp"

namespace raymesh::crypto {

static_assert(crypto_scalarmult_BYTES == kX25519Bytes &&
              crypto_scalarmult_SCALARBYTES == Secret32::size());

// Any 32 bytes are a private key: RFC 7748 section 5 sets and clears bits when it is used.
void x25519_generate(Secret32& private_key) {
  require_sodium();
  randombytes_buf(private_key.data(), Secret32::size());
}

void x25519_generate(Secret32& private_key, X25519PublicKey& public_key) {
  x25519_generate(private_key);
  x25519_public_key(private_key, public_key);
}

void x25519_public_key(const Secret32& private_key, X25519PublicKey& public_key) {
  require_sodium();
  // Fails for no input: the base point has a large order.
  (void)crypto_scalarmult_base(reinterpret_cast<unsigned char*>(public_key.data()),
                               private_key.data());
}

bool x25519_shared(const Secret32& private_key, std::string_view their_public, Secret32& shared) {
  require_sodium();
  shared.clear();
  if (their_public.size() != kX25519Bytes) return false;
  const int failed = crypto_scalarmult(shared.data(), private_key.data(),
                                       reinterpret_cast<const unsigned char*>(their_public.data()));
  // libsodium refuses low order points by a list and by the result; this library's promise does not
  // depend on that.
  if (failed == 0 && sodium_is_zero(shared.data(), Secret32::size()) == 0) return true;
  shared.clear();
  return false;
}

}  // namespace raymesh::crypto
