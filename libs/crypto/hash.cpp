#include "libs/crypto/hash.hpp"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <sodium.h>

#include <cstdio>
#include <cstdlib>

namespace raymesh::crypto {
namespace {

// OpenSSL's digests fail for lack of memory or a broken installation only: nothing a caller could
// do anything about, and going on without a hash would be worse than stopping.
void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "raymesh: OpenSSL failed: %s\n", what);
  std::abort();
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// Fetched once: the lookup costs more than hashing a short string.
const EVP_MD* sha256_method() {
  static const EVP_MD* method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  require(method != nullptr, "no SHA256");
  return method;
}

EVP_MAC* hmac_method() {
  static EVP_MAC* method = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  require(method != nullptr, "no HMAC");
  return method;
}

struct FreeDigest {
  void operator()(EVP_MD_CTX* c) const { EVP_MD_CTX_free(c); }
};
struct FreeMac {
  void operator()(EVP_MAC_CTX* c) const { EVP_MAC_CTX_free(c); }
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

struct HmacKey::State {
  std::unique_ptr<EVP_MAC_CTX, FreeMac> keyed;
};

HmacKey::HmacKey(std::string_view key) : state_(std::make_unique<State>()) {
  state_->keyed.reset(EVP_MAC_CTX_new(hmac_method()));
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  // A null pointer would mean "keep the key": an empty key needs an address, too.
  static const unsigned char kNothing = 0;
  const unsigned char* bytes = key.empty() ? &kNothing : bytes_of(key);
  require(state_->keyed && EVP_MAC_init(state_->keyed.get(), bytes, key.size(), params) == 1,
          "HMAC key");
}
HmacKey::HmacKey(HmacKey&&) noexcept = default;
HmacKey& HmacKey::operator=(HmacKey&&) noexcept = default;
HmacKey::~HmacKey() = default;

std::string HmacKey::compute(std::string_view data) const {
  std::unique_ptr<EVP_MAC_CTX, FreeMac> context(EVP_MAC_CTX_dup(state_->keyed.get()));
  std::string out(kSha256Bytes, '\0');
  size_t size = 0;
  require(context && EVP_MAC_update(context.get(), bytes_of(data), data.size()) == 1 &&
              EVP_MAC_final(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                            out.size()) == 1 &&
              size == kSha256Bytes,
          "HMAC");
  return out;
}

std::string hmac_sha256(std::string_view key, std::string_view data) {
  return HmacKey(key).compute(data);
}

bool constant_time_equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace raymesh::crypto
