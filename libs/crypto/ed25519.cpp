#include "libs/crypto/ed25519.hpp"

#include <sodium.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "libs/crypto/sodium_ready.hpp"

namespace raymesh::crypto {
namespace {

static_assert(crypto_sign_SEEDBYTES == kEd25519SeedBytes &&
              crypto_sign_PUBLICKEYBYTES == kEd25519PublicBytes &&
              crypto_sign_BYTES == kEd25519SignatureBytes && crypto_sign_SECRETKEYBYTES == 64);

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

Result<Ed25519Key> Ed25519Key::from_seed(std::string_view seed) {
  if (seed.size() != kEd25519SeedBytes)
    return Error(errors::kInvalidValue, "the seed of an Ed25519 key has 32 bytes, this one " +
                                            std::to_string(seed.size()));
  require_sodium();
  Ed25519Key key;
  key.secret_ = Locked<SecretArray<64>>::make();
  crypto_sign_seed_keypair(reinterpret_cast<unsigned char*>(key.public_key_.data()),
                           key.secret_->data(), bytes_of(seed));
  return key;
}

Ed25519Key Ed25519Key::generate() {
  require_sodium();
  Ed25519Key key;
  key.secret_ = Locked<SecretArray<64>>::make();
  crypto_sign_keypair(reinterpret_cast<unsigned char*>(key.public_key_.data()),
                      key.secret_->data());
  return key;
}

void Ed25519Key::sign(std::string_view message, Ed25519Signature& signature) const {
  // What a forked child finds in the arena.
  if (secret_->is_zero()) {
    std::fputs("raymesh: a signing key was used in a forked process\n", stderr);
    std::abort();
  }
  crypto_sign_detached(reinterpret_cast<unsigned char*>(signature.data()), nullptr,
                       bytes_of(message), message.size(), secret_->data());
}

bool ed25519_verify(std::string_view public_key, std::string_view message,
                    std::string_view signature) {
  require_sodium();
  return public_key.size() == kEd25519PublicBytes && signature.size() == kEd25519SignatureBytes &&
         crypto_sign_verify_detached(bytes_of(signature), bytes_of(message), message.size(),
                                     bytes_of(public_key)) == 0;
}

}  // namespace raymesh::crypto
