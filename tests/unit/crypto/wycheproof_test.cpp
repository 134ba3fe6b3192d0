// The vectors of Project Wycheproof (wycheproof/README.md): edge cases of the arithmetic, and
// inputs that broken implementations accept.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "libs/base/encoding.hpp"
#include "libs/crypto/aead.hpp"
#include "libs/crypto/ed25519.hpp"
#include "libs/crypto/hash.hpp"
#include "libs/crypto/sha256.hpp"
#include "libs/crypto/x25519.hpp"

namespace raymesh::crypto {
namespace {

using Row = std::vector<std::string>;

std::vector<Row> read(const std::string& name) {
  std::ifstream file(std::string(RAYMESH_WYCHEPROOF) + "/" + name + ".txt");
  EXPECT_TRUE(file.is_open()) << name;
  std::vector<Row> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    Row row;
    for (std::string word; words >> word;) row.push_back(word);
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string bytes(const std::string& hex) {
  return hex == "-" ? "" : hex_decode(hex).value();
}

void check_aead(const std::string& name, AeadCipher cipher, size_t expected_rows) {
  const auto rows = read(name);
  EXPECT_EQ(rows.size(), expected_rows);
  for (const Row& row : rows) {
    const bool valid = row[1] == "valid";
    const std::string nonce = bytes(row[3]);
    const std::string aad = bytes(row[4]);
    const std::string message = bytes(row[5]);
    const std::string sealed = bytes(row[6]);
    const std::string tag = bytes(row[7]);
    Secret32 key;
    key.assign(bytes(row[2]));
    const AeadNonce nonce_view(nonce.data(), kAeadNonceBytes);
    for (const AeadBackend backend : {AeadBackend::kSodium, AeadBackend::kOpenSsl,
                                      AeadBackend::kIpsecMb, AeadBackend::kFastest}) {
      if (!has_backend(backend, cipher)) continue;
      std::string text = sealed;
      EXPECT_EQ(aead_open_with(backend, cipher, key, nonce_view, aad, text,
                               std::span<const char, kAeadTagBytes>(tag.data(), kAeadTagBytes)),
                valid)
          << name << " " << row[0];
      EXPECT_EQ(text, valid ? message : std::string(sealed.size(), '\0')) << name << " " << row[0];
      if (!valid) continue;
      std::string made_tag(kAeadTagBytes, '\0');
      aead_seal_with(backend, cipher, key, nonce_view, aad, text,
                     std::span<char, kAeadTagBytes>(made_tag.data(), kAeadTagBytes));
      EXPECT_EQ(text, sealed) << name << " " << row[0];
      EXPECT_EQ(made_tag, tag) << name << " " << row[0];
    }
  }
}

TEST(WycheproofTest, ChaCha20Poly1305) {
  check_aead("chacha20_poly1305", AeadCipher::kChaCha20Poly1305, 316);
}

TEST(WycheproofTest, Aes256Gcm) {
  check_aead("aes_gcm", AeadCipher::kAes256Gcm, 66);
}

// "acceptable" are inputs that RFC 7748 computes with: points on the twist, not reduced, and of low
// order. All of them are computed here, too, but for those whose result is zero.
TEST(WycheproofTest, X25519) {
  const auto rows = read("x25519");
  EXPECT_EQ(rows.size(), 518u);
  size_t refused = 0;
  for (const Row& row : rows) {
    Secret32 key;
    Secret32 shared;
    key.assign(bytes(row[3]));
    const bool zero = row[4] == std::string(64, '0');
    EXPECT_EQ(x25519_shared(key, bytes(row[2]), shared), !zero) << row[0];
    EXPECT_EQ(hex_encode(shared.view()), row[4]) << row[0];
    refused += zero;
  }
  EXPECT_EQ(refused, 31u);
}

TEST(WycheproofTest, Ed25519) {
  const auto rows = read("ed25519");
  EXPECT_EQ(rows.size(), 151u);
  for (const Row& row : rows)
    EXPECT_EQ(ed25519_verify(bytes(row[2]), bytes(row[3]), bytes(row[4])), row[1] == "valid")
        << row[0];
}

TEST(WycheproofTest, HkdfSha256) {
  const auto rows = read("hkdf_sha256");
  EXPECT_EQ(rows.size(), 86u);
  for (const Row& row : rows) {
    if (row[1] != "valid") {
      EXPECT_GT(std::stoul(row[5]), 255u * 32) << row[0];  // ends the process: sha256_test.cpp
      continue;
    }
    Secret32 prk;
    hkdf_extract(bytes(row[3]), bytes(row[2]), prk);
    std::string out(std::stoul(row[5]), '\0');
    hkdf_expand(prk.view(), bytes(row[4]), reinterpret_cast<unsigned char*>(out.data()),
                out.size());
    EXPECT_EQ(hex_encode(out), row[6] == "-" ? "" : row[6]) << row[0];
  }
}

TEST(WycheproofTest, HmacSha256) {
  const auto rows = read("hmac_sha256");
  EXPECT_EQ(rows.size(), 174u);
  for (const Row& row : rows) {
    std::string out(32, '\0');
    HmacSha256(bytes(row[2]))
        .update(bytes(row[3]))
        .finish(reinterpret_cast<unsigned char*>(out.data()));
    const std::string tag = bytes(row[4]);
    EXPECT_EQ(constant_time_equal(out.substr(0, tag.size()), tag), row[1] == "valid") << row[0];
  }
}

}  // namespace
}  // namespace raymesh::crypto
