// The functions on a plain SHA256_CTX are deprecated in OpenSSL 3 in favour of EVP_MD_CTX, which
// lies on OpenSSL's heap: what is hashed here are keys, so their state has to be ours to wipe. They
// are also the fastest of what there is (bench/micro/crypto_bench.cpp).
#define OPENSSL_SUPPRESS_DEPRECATED
#include "libs/crypto/sha256.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace raymesh::crypto {
namespace {

constexpr size_t kBlock = 64;

static_assert(sizeof(SHA256_CTX) == 112 && alignof(SHA256_CTX) <= 8);

SHA256_CTX* context(unsigned char* state) {
  return reinterpret_cast<SHA256_CTX*>(state);
}

// A key as RFC 2104 puts it in front of both hashes.
class KeyBlock {
 public:
  explicit KeyBlock(std::string_view key) {
    if (key.size() > kBlock)
      Sha256().update(key).finish(block_.data());
    else if (!key.empty())
      std::memcpy(block_.data(), key.data(), key.size());
  }
  std::string_view masked(unsigned char mask) {
    for (size_t i = 0; i < kBlock; ++i) masked_.data()[i] = block_.data()[i] ^ mask;
    return masked_.view();
  }

 private:
  SecretArray<kBlock> block_;
  SecretArray<kBlock> masked_;
};

}  // namespace

Sha256::Sha256() {
  SHA256_Init(context(state_));
}

Sha256::~Sha256() {
  wipe(state_, sizeof state_);
}

Sha256& Sha256::update(std::string_view data) {
  SHA256_Update(context(state_), data.data(), data.size());
  return *this;
}

void Sha256::finish(unsigned char* out) {
  SHA256_Final(out, context(state_));
  SHA256_Init(context(state_));
}

HmacSha256::HmacSha256(std::string_view key) {
  KeyBlock block(key);
  inner_key_.update(block.masked(0x36));
  outer_key_.update(block.masked(0x5c));
  inner_ = inner_key_;
}

HmacSha256& HmacSha256::update(std::string_view data) {
  inner_.update(data);
  return *this;
}

void HmacSha256::finish(unsigned char* out) {
  Secret32 inner;
  inner_.finish(inner.data());
  inner_ = inner_key_;
  Sha256 outer = outer_key_;
  outer.update(inner.view()).finish(out);
}

void hkdf_extract(std::string_view salt, std::string_view ikm, Secret32& prk) {
  HmacSha256(salt).update(ikm).finish(prk.data());
}

void hkdf_expand(std::string_view prk, std::string_view info, unsigned char* out, size_t size) {
  constexpr size_t kMost = 255 * Sha256::kBytes;
  if (size > kMost) {
    std::fprintf(stderr, "raymesh: HKDF cannot give %zu bytes\n", size);
    std::abort();
  }
  HmacSha256 hmac(prk);
  Secret32 block;
  for (unsigned char counter = 1; size > 0; ++counter) {
    if (counter > 1) hmac.update(block.view());
    hmac.update(info).update({reinterpret_cast<const char*>(&counter), 1});
    hmac.finish(block.data());
    const size_t part = std::min(size, Sha256::kBytes);
    std::memcpy(out, block.data(), part);
    out += part;
    size -= part;
  }
}

}  // namespace raymesh::crypto
