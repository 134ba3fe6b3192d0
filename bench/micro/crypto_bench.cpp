// What each primitive of libs/crypto costs, beside the library that was not taken for it
// (docs/adr/0042-which-library-for-which-primitive.md). Run by `./dev bench crypto`.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <benchmark/benchmark.h>
#include <openssl/evp.h>
#include <sodium.h>

#include <string>

#include "libs/crypto/aead.hpp"
#include "libs/crypto/ed25519.hpp"
#include "libs/crypto/hash.hpp"
#include "libs/crypto/random.hpp"
#include "libs/crypto/sha256.hpp"
#include "libs/crypto/x25519.hpp"

// NOLINTBEGIN(clang-analyzer-deadcode.DeadStores): the `_` of Google Benchmark's loops
namespace {

namespace crypto = raymesh::crypto;
using crypto::AeadBackend;
using crypto::AeadCipher;

void aead(benchmark::State& state, AeadCipher cipher, AeadBackend backend, bool open) {
  const auto size = static_cast<size_t>(state.range(0));
  std::string text(size, 't');
  char nonce[crypto::kAeadNonceBytes] = {};
  char tag[crypto::kAeadTagBytes];
  const std::string aad(16, 'h');
  crypto::Secret32 key;
  key.assign(crypto::random_bytes(32));
  crypto::ExpandedKey expanded;
  const bool as_taken = backend == AeadBackend::kFastest;
  auto seal = [&] {
    as_taken ? aead_seal(cipher, key, expanded, nonce, aad, text, tag)
             : aead_seal_with(backend, cipher, key, nonce, aad, text, tag);
  };
  seal();
  const std::string sealed = text;
  for (auto _ : state) {
    if (open) {
      // Decrypting gives the plaintext, which has another tag: the ciphertext is put back.
      if (!(as_taken ? aead_open(cipher, key, expanded, nonce, aad, text, tag)
                     : aead_open_with(backend, cipher, key, nonce, aad, text, tag)))
        std::abort();
      std::copy(sealed.begin(), sealed.end(), text.begin());
    } else {
      seal();
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * size));
}

// What `openssl speed -evp` measures: one context with its key set, here with a nonce and a tag per
// text, which it leaves out.
void openssl_context(benchmark::State& state, const char* name) {
  const auto size = static_cast<size_t>(state.range(0));
  std::string text(size, 't');
  unsigned char zeros[32] = {};
  unsigned char tag[16];
  auto* data = reinterpret_cast<unsigned char*>(text.data());
  EVP_CIPHER* method = EVP_CIPHER_fetch(nullptr, name, nullptr);
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  EVP_EncryptInit_ex2(context, method, zeros, zeros, nullptr);
  int done = 0;
  for (auto _ : state) {
    EVP_EncryptInit_ex2(context, nullptr, nullptr, zeros, nullptr);
    EVP_EncryptUpdate(context, nullptr, &done, zeros, 16);
    EVP_EncryptUpdate(context, data, &done, data, static_cast<int>(size));
    EVP_EncryptFinal_ex(context, data, &done);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag);
  }
  EVP_CIPHER_CTX_free(context);
  EVP_CIPHER_free(method);
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * size));
}

void sizes(benchmark::internal::Benchmark* b) {
  for (const int size : {0, 64, 200, 1'024, 2'048, 4'096, 16'384, 1'048'576}) b->Arg(size);
}

void x25519_key(benchmark::State& state) {
  crypto::Secret32 key;
  crypto::X25519PublicKey public_key;
  for (auto _ : state) crypto::x25519_generate(key, public_key);
}

void x25519_shared(benchmark::State& state) {
  crypto::Secret32 key;
  crypto::Secret32 shared;
  crypto::X25519PublicKey public_key;
  crypto::x25519_generate(key, public_key);
  for (auto _ : state)
    if (!crypto::x25519_shared(key, {public_key.data(), 32}, shared)) std::abort();
}

void x25519_key_openssl(benchmark::State& state) {
  EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_name(nullptr, "X25519", nullptr);
  EVP_PKEY_keygen_init(context);
  for (auto _ : state) {
    EVP_PKEY* key = nullptr;
    EVP_PKEY_generate(context, &key);
    EVP_PKEY_free(key);
  }
  EVP_PKEY_CTX_free(context);
}

void x25519_shared_openssl(benchmark::State& state) {
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "X25519");
  unsigned char public_key[32];
  unsigned char shared[32];
  size_t size = 32;
  EVP_PKEY_get_raw_public_key(key, public_key, &size);
  for (auto _ : state) {
    EVP_PKEY* theirs = EVP_PKEY_new_raw_public_key_ex(nullptr, "X25519", nullptr, public_key, 32);
    EVP_PKEY_CTX* context = EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr);
    EVP_PKEY_derive_init(context);
    EVP_PKEY_derive_set_peer_ex(context, theirs, 0);
    EVP_PKEY_derive(context, shared, &size);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(theirs);
  }
  EVP_PKEY_free(key);
}

void ed25519_sign(benchmark::State& state) {
  const auto key = crypto::Ed25519Key::generate();
  crypto::Ed25519Signature signature;
  for (auto _ : state) key.sign("raystream-v1 server and a hash of 32 bytes, or so..", signature);
}

void ed25519_verify(benchmark::State& state) {
  const auto key = crypto::Ed25519Key::generate();
  crypto::Ed25519Signature signature;
  key.sign("message", signature);
  for (auto _ : state)
    if (!crypto::ed25519_verify({key.public_key().data(), 32}, "message", {signature.data(), 64}))
      std::abort();
}

void ed25519_openssl(benchmark::State& state, bool verify) {
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  unsigned char message[51] = {};
  unsigned char signature[64];
  size_t size = 64;
  EVP_DigestSignInit_ex(context, nullptr, nullptr, nullptr, nullptr, key, nullptr);
  EVP_DigestSign(context, signature, &size, message, sizeof message);
  for (auto _ : state) {
    EVP_MD_CTX_reset(context);
    if (verify) {
      EVP_DigestVerifyInit_ex(context, nullptr, nullptr, nullptr, nullptr, key, nullptr);
      if (EVP_DigestVerify(context, signature, 64, message, sizeof message) != 1) std::abort();
    } else {
      EVP_DigestSignInit_ex(context, nullptr, nullptr, nullptr, nullptr, key, nullptr);
      EVP_DigestSign(context, signature, &size, message, sizeof message);
    }
  }
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
}

void sha256(benchmark::State& state) {
  const std::string text(static_cast<size_t>(state.range(0)), 't');
  unsigned char out[32];
  crypto::Sha256 hash;
  for (auto _ : state) hash.update(text).finish(out);
}

void sha256_evp(benchmark::State& state) {
  const std::string text(static_cast<size_t>(state.range(0)), 't');
  for (auto _ : state) benchmark::DoNotOptimize(crypto::sha256(text));
}

void sha256_sodium(benchmark::State& state) {
  const std::string text(static_cast<size_t>(state.range(0)), 't');
  unsigned char out[32];
  for (auto _ : state)
    crypto_hash_sha256(out, reinterpret_cast<const unsigned char*>(text.data()), text.size());
}

void hkdf_expand(benchmark::State& state) {
  crypto::Secret32 secret;
  crypto::Secret32 out;
  for (auto _ : state) crypto::hkdf_expand(secret.view(), "raystream-v1 next", out);
}

void hmac(benchmark::State& state) {
  unsigned char out[32];
  const std::string key(32, 'k');
  const std::string text(52, 't');
  for (auto _ : state) crypto::HmacSha256(key).update(text).finish(out);
}

void hmac_evp(benchmark::State& state) {
  const std::string key(32, 'k');
  const std::string text(52, 't');
  for (auto _ : state) benchmark::DoNotOptimize(crypto::hmac_sha256(key, text));
}

constexpr auto kChaCha = AeadCipher::kChaCha20Poly1305;
constexpr auto kGcm = AeadCipher::kAes256Gcm;
BENCHMARK_CAPTURE(aead, chacha20_seal, kChaCha, AeadBackend::kFastest, false)->Apply(sizes);
BENCHMARK_CAPTURE(aead, chacha20_seal_sodium, kChaCha, AeadBackend::kSodium, false)->Apply(sizes);
BENCHMARK_CAPTURE(aead, chacha20_seal_openssl, kChaCha, AeadBackend::kOpenSsl, false)->Apply(sizes);
BENCHMARK_CAPTURE(openssl_context, chacha20, "ChaCha20-Poly1305")->Apply(sizes);
BENCHMARK_CAPTURE(aead, chacha20_open, kChaCha, AeadBackend::kFastest, true)->Apply(sizes);
BENCHMARK_CAPTURE(aead, gcm_seal, kGcm, AeadBackend::kFastest, false)->Apply(sizes);
BENCHMARK_CAPTURE(aead, gcm_seal_sodium, kGcm, AeadBackend::kSodium, false)->Apply(sizes);
BENCHMARK_CAPTURE(aead, gcm_seal_openssl, kGcm, AeadBackend::kOpenSsl, false)->Apply(sizes);
BENCHMARK_CAPTURE(openssl_context, gcm, "AES-256-GCM")->Apply(sizes);
BENCHMARK_CAPTURE(aead, gcm_open, kGcm, AeadBackend::kFastest, true)->Apply(sizes);
BENCHMARK(x25519_key);
BENCHMARK(x25519_key_openssl);
BENCHMARK(x25519_shared);
BENCHMARK(x25519_shared_openssl);
BENCHMARK(ed25519_sign);
BENCHMARK_CAPTURE(ed25519_openssl, sign, false);
BENCHMARK(ed25519_verify);
BENCHMARK_CAPTURE(ed25519_openssl, verify, true);
BENCHMARK(sha256)->Arg(32)->Arg(300)->Arg(16'384);
BENCHMARK(sha256_evp)->Arg(32)->Arg(300)->Arg(16'384);
BENCHMARK(sha256_sodium)->Arg(32)->Arg(300)->Arg(16'384);
BENCHMARK(hmac);
BENCHMARK(hmac_evp);
BENCHMARK(hkdf_expand);

}  // namespace
// NOLINTEND(clang-analyzer-deadcode.DeadStores)

BENCHMARK_MAIN();
