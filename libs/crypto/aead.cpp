#include "libs/crypto/aead.hpp"

#include <openssl/evp.h>
#include <sodium.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "libs/crypto/ipsec_mb.hpp"
#include "libs/crypto/sodium_ready.hpp"

namespace raymesh::crypto {
namespace {

// Up to here libsodium is faster than giving an OpenSSL context a key.
constexpr size_t kMostForSodium = 1'792;

// What is left fails for lack of memory or a broken installation only.
void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "raymesh: OpenSSL failed: %s\n", what);
  std::abort();
}

unsigned char* bytes_of(char* text) {
  return reinterpret_cast<unsigned char*>(text);
}
const unsigned char* bytes_of(const char* text) {
  return reinterpret_cast<const unsigned char*>(text);
}

// AES's round keys and GHASH's table, made for one call.
class AesGcmState {
 public:
  explicit AesGcmState(const Secret32& key) {
    (void)crypto_aead_aes256gcm_beforenm(&state_, key.data());
  }
  AesGcmState(const AesGcmState&) = delete;
  AesGcmState& operator=(const AesGcmState&) = delete;
  ~AesGcmState() { sodium_memzero(&state_, sizeof state_); }
  const crypto_aead_aes256gcm_state* get() const { return &state_; }

 private:
  crypto_aead_aes256gcm_state state_;
};

void sodium_seal(AeadCipher cipher, const Secret32& key, AeadNonce nonce, std::string_view aad,
                 std::span<char> text, std::span<char, kAeadTagBytes> tag) {
  unsigned char* data = bytes_of(text.data());
  unsigned char* tag_bytes = bytes_of(tag.data());
  if (cipher == AeadCipher::kChaCha20Poly1305) {
    (void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(
        data, tag_bytes, nullptr, data, text.size(), bytes_of(aad.data()), aad.size(), nullptr,
        bytes_of(nonce.data()), key.data());
  } else {
    const AesGcmState state(key);
    (void)crypto_aead_aes256gcm_encrypt_detached_afternm(
        data, tag_bytes, nullptr, data, text.size(), bytes_of(aad.data()), aad.size(), nullptr,
        bytes_of(nonce.data()), state.get());
  }
}

bool sodium_open(AeadCipher cipher, const Secret32& key, AeadNonce nonce, std::string_view aad,
                 std::span<char> text, std::span<const char, kAeadTagBytes> tag) {
  unsigned char* data = bytes_of(text.data());
  if (cipher == AeadCipher::kChaCha20Poly1305)
    return crypto_aead_chacha20poly1305_ietf_decrypt_detached(
               data, nullptr, data, text.size(), bytes_of(tag.data()), bytes_of(aad.data()),
               aad.size(), bytes_of(nonce.data()), key.data()) == 0;
  const AesGcmState state(key);
  return crypto_aead_aes256gcm_decrypt_detached_afternm(
             data, nullptr, data, text.size(), bytes_of(tag.data()), bytes_of(aad.data()),
             aad.size(), bytes_of(nonce.data()), state.get()) == 0;
}

// A context of this thread. It holds a key for the time of one call only: after it, it is given
// the key of zeros in place of the session's.
class OpenSslContext {
 public:
  explicit OpenSslContext(const char* name)
      : method_(EVP_CIPHER_fetch(nullptr, name, nullptr)), context_(EVP_CIPHER_CTX_new()) {
    require(method_ && context_, name);
    require(EVP_EncryptInit_ex2(context_.get(), method_.get(), kZeroKey, kZeroKey, nullptr) == 1,
            name);
  }

  void seal(const Secret32& key, AeadNonce nonce, std::string_view aad, std::span<char> text,
            std::span<char, kAeadTagBytes> tag) {
    EVP_CIPHER_CTX* c = context_.get();
    int done = 0;
    require(EVP_EncryptInit_ex2(c, nullptr, key.data(), bytes_of(nonce.data()), nullptr) == 1 &&
                feed(aad, text) &&
                EVP_EncryptFinal_ex(c, bytes_of(text.data()) + text.size(), &done) == 1 &&
                done == 0 &&
                EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, kAeadTagBytes, tag.data()) == 1,
            "AEAD");
    forget();
  }

  bool open(const Secret32& key, AeadNonce nonce, std::string_view aad, std::span<char> text,
            std::span<const char, kAeadTagBytes> tag) {
    EVP_CIPHER_CTX* c = context_.get();
    unsigned char expected[kAeadTagBytes];
    std::memcpy(expected, tag.data(), kAeadTagBytes);
    int done = 0;
    require(EVP_DecryptInit_ex2(c, nullptr, key.data(), bytes_of(nonce.data()), nullptr) == 1 &&
                EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, kAeadTagBytes, expected) == 1 &&
                feed(aad, text),
            "AEAD");
    const bool good = EVP_DecryptFinal_ex(c, bytes_of(text.data()) + text.size(), &done) == 1;
    forget();
    return good;
  }

 private:
  static constexpr unsigned char kZeroKey[32] = {};

  struct Free {
    void operator()(EVP_CIPHER* m) const { EVP_CIPHER_free(m); }
    void operator()(EVP_CIPHER_CTX* c) const { EVP_CIPHER_CTX_free(c); }
  };

  bool feed(std::string_view aad, std::span<char> text) {
    EVP_CIPHER_CTX* c = context_.get();
    require(aad.size() <= INT_MAX && text.size() <= INT_MAX, "more than 2^31 - 1 bytes");
    int done = 0;
    if (!aad.empty() && EVP_CipherUpdate(c, nullptr, &done, bytes_of(aad.data()),
                                         static_cast<int>(aad.size())) != 1)
      return false;
    return text.empty() || EVP_CipherUpdate(c, bytes_of(text.data()), &done, bytes_of(text.data()),
                                            static_cast<int>(text.size())) == 1;
  }

  void forget() {
    require(EVP_EncryptInit_ex2(context_.get(), nullptr, kZeroKey, kZeroKey, nullptr) == 1, "AEAD");
  }

  std::unique_ptr<EVP_CIPHER, Free> method_;
  std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
};

OpenSslContext& openssl_context(AeadCipher cipher) {
  if (cipher == AeadCipher::kChaCha20Poly1305) {
    thread_local OpenSslContext context("ChaCha20-Poly1305");
    return context;
  }
  thread_local OpenSslContext context("AES-256-GCM");
  return context;
}

// libsodium's functions are declared to take no null pointers, not even to nothing.
char nothing = 0;
std::span<char> never_null(std::span<char> text) {
  return text.data() != nullptr ? text : std::span<char>(&nothing, 0);
}
std::string_view never_null(std::string_view text) {
  return text.data() != nullptr ? text : std::string_view("");
}

bool sodium_has_aes256gcm() {
  require_sodium();
  static const bool kHas = crypto_aead_aes256gcm_is_available() == 1;
  return kHas;
}

AeadBackend resolve(AeadBackend backend, AeadCipher cipher, size_t bytes) {
  if (backend != AeadBackend::kFastest) return backend;
  if (ipsec_mb::is_available()) return AeadBackend::kIpsecMb;
  return bytes <= kMostForSodium && has_backend(AeadBackend::kSodium, cipher)
             ? AeadBackend::kSodium
             : AeadBackend::kOpenSsl;
}

void ipsec_seal(AeadCipher cipher, const Secret32& key, AeadNonce nonce, std::string_view aad,
                std::span<char> text, std::span<char, kAeadTagBytes> tag) {
  if (cipher == AeadCipher::kChaCha20Poly1305)
    return ipsec_mb::chacha_seal(key, nonce, aad, text, tag);
  ExpandedKeyRoom room;
  ipsec_mb::expand(key, room);
  ipsec_mb::aes_seal(room, nonce, aad, text, tag);
}

bool ipsec_open(AeadCipher cipher, const Secret32& key, AeadNonce nonce, std::string_view aad,
                std::span<char> text, std::span<const char, kAeadTagBytes> tag) {
  if (cipher == AeadCipher::kChaCha20Poly1305)
    return ipsec_mb::chacha_open(key, nonce, aad, text, tag);
  ExpandedKeyRoom room;
  ipsec_mb::expand(key, room);
  return ipsec_mb::aes_open(room, nonce, aad, text, tag);
}

// Nobody may use by mistake what was decrypted under a tag that does not fit.
bool zero_unless(bool good, std::span<char> text) {
  if (!good && !text.empty()) std::memset(text.data(), 0, text.size());
  return good;
}

bool keeps_expanded(AeadCipher cipher) {
  return cipher == AeadCipher::kAes256Gcm && ipsec_mb::is_available();
}

}  // namespace

bool has_backend(AeadBackend backend, AeadCipher cipher) {
  switch (backend) {
    case AeadBackend::kSodium:
      return cipher == AeadCipher::kChaCha20Poly1305 || sodium_has_aes256gcm();
    case AeadBackend::kIpsecMb:
      return ipsec_mb::is_available();
    case AeadBackend::kFastest:
    case AeadBackend::kOpenSsl:
      break;
  }
  return true;
}

const ExpandedKeyRoom& ExpandedKey::of(const Secret32& key) {
  if (!room_) {
    room_ = Locked<ExpandedKeyRoom>::make();
    ipsec_mb::expand(key, *room_);
  }
  return *room_;
}

void aead_seal_with(AeadBackend backend, AeadCipher cipher, const Secret32& key, AeadNonce nonce,
                    std::string_view aad, std::span<char> text,
                    std::span<char, kAeadTagBytes> tag) {
  require_sodium();
  switch (resolve(backend, cipher, text.size())) {
    case AeadBackend::kIpsecMb:
      return ipsec_seal(cipher, key, nonce, never_null(aad), never_null(text), tag);
    case AeadBackend::kSodium:
      return sodium_seal(cipher, key, nonce, never_null(aad), never_null(text), tag);
    case AeadBackend::kFastest:
    case AeadBackend::kOpenSsl:
      return openssl_context(cipher).seal(key, nonce, aad, text, tag);
  }
}

bool aead_open_with(AeadBackend backend, AeadCipher cipher, const Secret32& key, AeadNonce nonce,
                    std::string_view aad, std::span<char> text,
                    std::span<const char, kAeadTagBytes> tag) {
  require_sodium();
  bool good = false;
  switch (resolve(backend, cipher, text.size())) {
    case AeadBackend::kIpsecMb:
      good = ipsec_open(cipher, key, nonce, never_null(aad), never_null(text), tag);
      break;
    case AeadBackend::kSodium:
      good = sodium_open(cipher, key, nonce, never_null(aad), never_null(text), tag);
      break;
    case AeadBackend::kFastest:
    case AeadBackend::kOpenSsl:
      good = openssl_context(cipher).open(key, nonce, aad, text, tag);
      break;
  }
  return zero_unless(good, text);
}

void aead_seal(AeadCipher cipher, const Secret32& key, AeadNonce nonce, std::string_view aad,
               std::span<char> text, std::span<char, kAeadTagBytes> tag) {
  aead_seal_with(AeadBackend::kFastest, cipher, key, nonce, aad, text, tag);
}

bool aead_open(AeadCipher cipher, const Secret32& key, AeadNonce nonce, std::string_view aad,
               std::span<char> text, std::span<const char, kAeadTagBytes> tag) {
  return aead_open_with(AeadBackend::kFastest, cipher, key, nonce, aad, text, tag);
}

void aead_seal(AeadCipher cipher, const Secret32& key, ExpandedKey& expanded, AeadNonce nonce,
               std::string_view aad, std::span<char> text, std::span<char, kAeadTagBytes> tag) {
  if (!keeps_expanded(cipher)) return aead_seal(cipher, key, nonce, aad, text, tag);
  ipsec_mb::aes_seal(expanded.of(key), nonce, never_null(aad), never_null(text), tag);
}

bool aead_open(AeadCipher cipher, const Secret32& key, ExpandedKey& expanded, AeadNonce nonce,
               std::string_view aad, std::span<char> text,
               std::span<const char, kAeadTagBytes> tag) {
  if (!keeps_expanded(cipher)) return aead_open(cipher, key, nonce, aad, text, tag);
  return zero_unless(
      ipsec_mb::aes_open(expanded.of(key), nonce, never_null(aad), never_null(text), tag), text);
}

}  // namespace raymesh::crypto
