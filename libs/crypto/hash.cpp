#include "libs/crypto/hash.hpp"

#include <openssl/evp.h>
#include <sodium.h>

#include <cstdio>
#include <cstdlib>

#include "libs/crypto/sha256.hpp"

namespace raymesh::crypto {
namespace {

// OpenSSL's digests fail for lack of memory or a broken installation only: nothing a caller could
// do anything about, and going on without a hash would be worse than stopping.
void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "raymesh: OpenSSL failed: %s\n", what);
  std::abort();
}

// Fetched once: the lookup costs more than hashing a short string.
const EVP_MD* sha256_method() {
  static const EVP_MD* method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  require(method != nullptr, "no SHA256");
  return method;
}

struct FreeDigest {
  void operator()(EVP_MD_CTX* c) const { EVP_MD_CTX_free(c); }
};

}  // namespace

std::string sha256(std::string_view data) {
  thread_local std::unique_ptr<EVP_MD_CTX, FreeDigest> context(EVP_MD_CTX_new());
  std::string out(kSha256Bytes, '\0');
  unsigned int size = 0;
  require(context && EVP_DigestInit_ex2(context.get(), sha256_method(), nullptr) == 1 &&
              EVP_DigestUpdate(context.get(), data.data(), data.size()) == 1 &&
              EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(out.data()),
                                 &size) == 1 &&
              size == kSha256Bytes,
          "SHA256");
  return out;
}

// An EVP_MAC_CTX would have to be copied on the heap for each text.
struct HmacKey::State {
  HmacSha256 keyed;
};

HmacKey::HmacKey(std::string_view key) : state_(new State{HmacSha256(key)}) {}
HmacKey::HmacKey(HmacKey&&) noexcept = default;
HmacKey& HmacKey::operator=(HmacKey&&) noexcept = default;
HmacKey::~HmacKey() = default;

std::string HmacKey::compute(std::string_view data) const {
  HmacSha256 hmac = state_->keyed;
  std::string out(kSha256Bytes, '\0');
  hmac.update(data).finish(reinterpret_cast<unsigned char*>(out.data()));
  return out;
}

std::string hmac_sha256(std::string_view key, std::string_view data) {
  return HmacKey(key).compute(data);
}

bool constant_time_equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace raymesh::crypto
