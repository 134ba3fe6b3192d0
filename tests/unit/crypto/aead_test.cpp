#include "libs/crypto/aead.hpp"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "libs/base/encoding.hpp"
#include "libs/crypto/random.hpp"

namespace raymesh::crypto {
namespace {

constexpr AeadCipher kCiphers[] = {AeadCipher::kChaCha20Poly1305, AeadCipher::kAes256Gcm};

// Those that this processor has.
std::vector<AeadBackend> backends(AeadCipher cipher) {
  std::vector<AeadBackend> all;
  for (const AeadBackend one :
       {AeadBackend::kOpenSsl, AeadBackend::kSodium, AeadBackend::kIpsecMb, AeadBackend::kFastest})
    if (has_backend(one, cipher)) all.push_back(one);
  return all;
}

struct Box {
  Secret32 key;
  std::string nonce = std::string(kAeadNonceBytes, '\0');
  std::string aad = "header";

  Box() { key.assign(std::string(32, 'k')); }
  AeadNonce nonce_view() const { return AeadNonce(nonce.data(), kAeadNonceBytes); }

  std::string seal(AeadBackend backend, AeadCipher cipher, std::string text) const {
    std::string tag(kAeadTagBytes, '\0');
    aead_seal_with(backend, cipher, key, nonce_view(), aad, text,
                   std::span<char, kAeadTagBytes>(tag.data(), kAeadTagBytes));
    return text + tag;
  }
  // The same with what the key has been expanded to.
  std::string seal(ExpandedKey& expanded, AeadCipher cipher, std::string text) const {
    std::string tag(kAeadTagBytes, '\0');
    aead_seal(cipher, key, expanded, nonce_view(), aad, text,
              std::span<char, kAeadTagBytes>(tag.data(), kAeadTagBytes));
    return text + tag;
  }
  bool open(ExpandedKey& expanded, AeadCipher cipher, std::string& sealed) const {
    const std::string tag = sealed.substr(sealed.size() - kAeadTagBytes);
    sealed.resize(sealed.size() - kAeadTagBytes);
    return aead_open(cipher, key, expanded, nonce_view(), aad, sealed,
                     std::span<const char, kAeadTagBytes>(tag.data(), kAeadTagBytes));
  }
  bool open(AeadBackend backend, AeadCipher cipher, std::string& sealed) const {
    const std::string tag = sealed.substr(sealed.size() - kAeadTagBytes);
    sealed.resize(sealed.size() - kAeadTagBytes);
    return aead_open_with(backend, cipher, key, nonce_view(), aad, sealed,
                          std::span<const char, kAeadTagBytes>(tag.data(), kAeadTagBytes));
  }
};

TEST(AeadTest, MatchesRfc8439Section282) {
  Box box;
  box.key.assign(
      hex_decode("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f").value());
  box.nonce = hex_decode("070000004041424344454647").value();
  box.aad = hex_decode("50515253c0c1c2c3c4c5c6c7").value();
  const std::string sealed = box.seal(
      AeadBackend::kFastest, AeadCipher::kChaCha20Poly1305,
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
      "sunscreen would be it.");
  EXPECT_EQ(hex_encode(sealed),
            "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
            "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
            "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
            "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691");
}

TEST(AeadTest, AllLibrariesMakeTheSameBytes) {
  Box box;
  for (const AeadCipher cipher : kCiphers) {
    ExpandedKey expanded;
    for (const size_t size :
         {0, 1, 15, 16, 17, 63, 64, 65, 1'000, 1'024, 1'792, 1'793, 4'096, 16'384, 70'001}) {
      const std::string text = random_bytes(size);
      const std::string sealed = box.seal(AeadBackend::kOpenSsl, cipher, text);
      EXPECT_EQ(sealed, box.seal(expanded, cipher, text)) << size;
      std::string opened = sealed;
      EXPECT_TRUE(box.open(expanded, cipher, opened)) << size;
      EXPECT_EQ(opened, text) << size;
      for (const AeadBackend backend : backends(cipher)) {
        EXPECT_EQ(sealed, box.seal(backend, cipher, text)) << size;
        opened = sealed;
        EXPECT_TRUE(box.open(backend, cipher, opened)) << size;
        EXPECT_EQ(opened, text) << size;
      }
    }
  }
}

TEST(AeadTest, RefusesWhateverWasChangedAndLeavesNoPlaintext) {
  for (const AeadCipher cipher : kCiphers) {
    for (const AeadBackend backend : backends(cipher)) {
      Box box;
      const std::string text(100, 't');
      const std::string sealed = box.seal(backend, cipher, text);
      for (size_t at = 0; at < sealed.size(); ++at) {
        std::string changed = sealed;
        changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
        EXPECT_FALSE(box.open(backend, cipher, changed)) << at;
        EXPECT_EQ(changed, std::string(100, '\0')) << at;
      }
      std::string good = sealed;
      box.aad = "Header";
      EXPECT_FALSE(box.open(backend, cipher, good));
      box.aad = "header";
      good = sealed;
      box.nonce[11] = 1;
      EXPECT_FALSE(box.open(backend, cipher, good));
      box.nonce[11] = 0;
      good = sealed;
      box.key.data()[31] ^= 1;
      EXPECT_FALSE(box.open(backend, cipher, good));
      box.key.data()[31] ^= 1;
      good = sealed;
      EXPECT_TRUE(box.open(backend, cipher, good));
    }
  }
}

TEST(AeadTest, AnExpandedKeyRefusesWhatWasChanged) {
  for (const AeadCipher cipher : kCiphers) {
    Box box;
    ExpandedKey expanded;
    const std::string sealed = box.seal(expanded, cipher, std::string(100, 't'));
    for (size_t at = 0; at < sealed.size(); ++at) {
      std::string changed = sealed;
      changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
      EXPECT_FALSE(box.open(expanded, cipher, changed)) << at;
      EXPECT_EQ(changed, std::string(100, '\0')) << at;
    }
  }
}

TEST(AeadTest, AnExpandedKeyIsGivenBackToTheArena) {
  // Elsewhere nothing is kept, and the rest holds all the same.
  const bool kept = has_backend(AeadBackend::kIpsecMb, AeadCipher::kAes256Gcm);
  Box box;
  const size_t before = SecretArena::process().usage().in_use;
  {
    ExpandedKey expanded;
    EXPECT_FALSE(expanded);
    const std::string first = box.seal(expanded, AeadCipher::kAes256Gcm, "text");
    EXPECT_EQ(static_cast<bool>(expanded), kept);
    EXPECT_EQ(SecretArena::process().usage().in_use > before, kept);
    // Another key: what the first one was expanded to is gone.
    expanded.reset();
    EXPECT_EQ(SecretArena::process().usage().in_use, before);
    box.key.data()[0] ^= 1;
    EXPECT_EQ(box.seal(expanded, AeadCipher::kAes256Gcm, "text"),
              box.seal(AeadBackend::kOpenSsl, AeadCipher::kAes256Gcm, "text"));
    EXPECT_NE(box.seal(expanded, AeadCipher::kAes256Gcm, "text"), first);
  }
  EXPECT_EQ(SecretArena::process().usage().in_use, before);
}

TEST(AeadTest, SealsTheEmptyTextForKeyConfirmation) {
  Box box;
  for (const AeadCipher cipher : kCiphers) {
    std::string sealed = box.seal(AeadBackend::kFastest, cipher, "");
    EXPECT_EQ(sealed.size(), kAeadTagBytes);
    EXPECT_TRUE(box.open(AeadBackend::kFastest, cipher, sealed));
  }
}

TEST(AeadTest, TakesNothingFromNowhere) {
  Box box;
  for (const AeadCipher cipher : kCiphers) {
    for (const AeadBackend backend : backends(cipher)) {
      char tag[kAeadTagBytes];
      aead_seal_with(backend, cipher, box.key, box.nonce_view(), {}, {}, tag);
      EXPECT_TRUE(aead_open_with(backend, cipher, box.key, box.nonce_view(), {}, {}, tag));
      tag[0] = static_cast<char>(tag[0] ^ 1);
      EXPECT_FALSE(aead_open_with(backend, cipher, box.key, box.nonce_view(), {}, {}, tag));
    }
  }
}

TEST(AeadTest, ThreadsDoNotShareAContext) {
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      Box box;
      box.key.assign(std::string(32, static_cast<char>('a' + t)));
      const std::string text(5'000, static_cast<char>('a' + t));
      for (int i = 0; i < 200; ++i)
        for (const AeadBackend backend : backends(kCiphers[i % 2])) {
          std::string sealed = box.seal(backend, kCiphers[i % 2], text);
          wrong[t] += !box.open(backend, kCiphers[i % 2], sealed) || sealed != text;
        }
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

}  // namespace
}  // namespace raymesh::crypto
