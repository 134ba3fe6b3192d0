#include "libs/crypto/record.hpp"

#include <sodium.h>

#include "libs/crypto/random.hpp"
#include "libs/crypto/sodium_ready.hpp"

namespace raymesh::crypto {
namespace {

static_assert(kRecordNonceBytes == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
static_assert(kRecordTagBytes == crypto_aead_xchacha20poly1305_ietf_ABYTES);

const unsigned char* bytes_of(const char* text) {
  return reinterpret_cast<const unsigned char*>(text);
}

}  // namespace

void seal_record_with(std::span<const char, kRecordNonceBytes> nonce, const Secret32& key,
                      std::string_view aad, std::string_view text, std::string& out) {
  require_sodium();
  const size_t at = out.size();
  out.append(nonce.data(), nonce.size());
  out.resize(at + kRecordOverhead + text.size());
  (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
      reinterpret_cast<unsigned char*>(out.data() + at + kRecordNonceBytes), nullptr,
      bytes_of(text.data()), text.size(), bytes_of(aad.data()), aad.size(), nullptr,
      bytes_of(nonce.data()), key.data());
}

void seal_record(const Secret32& key, std::string_view aad, std::string_view text,
                 std::string& out) {
  const std::string nonce = random_bytes(kRecordNonceBytes);
  seal_record_with(std::span<const char, kRecordNonceBytes>(nonce.data(), kRecordNonceBytes), key,
                   aad, text, out);
}

std::optional<Secret> open_record(const Secret32& key, std::string_view aad,
                                  std::string_view sealed) {
  require_sodium();
  if (sealed.size() < kRecordOverhead) return std::nullopt;
  const std::string_view nonce = sealed.substr(0, kRecordNonceBytes);
  const std::string_view text = sealed.substr(kRecordNonceBytes);
  std::string plain(text.size() - kRecordTagBytes, '\0');
  WipeOnExit wiped(plain);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(
          reinterpret_cast<unsigned char*>(plain.data()), nullptr, nullptr, bytes_of(text.data()),
          text.size(), bytes_of(aad.data()), aad.size(), bytes_of(nonce.data()), key.data()) != 0)
    return std::nullopt;
  return Secret(plain);
}

}  // namespace raymesh::crypto
