#include "libs/crypto/ed25519.hpp"

#include <gtest/gtest.h>

#include <string>

#include "libs/base/encoding.hpp"

namespace raymesh::crypto {
namespace {

std::string bytes(std::string_view hex) {
  return hex_decode(hex).value();
}

std::string sign(const Ed25519Key& key, std::string_view message) {
  Ed25519Signature signature;
  key.sign(message, signature);
  return {signature.data(), signature.size()};
}

std::string public_key(const Ed25519Key& key) {
  return {key.public_key().data(), key.public_key().size()};
}

struct Vector {
  const char* seed;
  const char* public_key;
  const char* message;
  const char* signature;
};

// RFC 8032 section 7.1, tests 1 to 3.
constexpr Vector kRfc8032[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
     "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
     "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
     "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
};

TEST(Ed25519Test, MatchesRfc8032) {
  for (const Vector& v : kRfc8032) {
    const auto key = Ed25519Key::from_seed(bytes(v.seed));
    ASSERT_TRUE(key.ok());
    EXPECT_EQ(hex_encode(public_key(*key)), v.public_key);
    EXPECT_EQ(hex_encode(key.value().seed()), v.seed);
    EXPECT_EQ(hex_encode(sign(*key, bytes(v.message))), v.signature);
    EXPECT_TRUE(ed25519_verify(bytes(v.public_key), bytes(v.message), bytes(v.signature)));
  }
}

TEST(Ed25519Test, RefusesAChangedBitAnywhere) {
  const Ed25519Key key = Ed25519Key::generate();
  const std::string message = "hello";
  const std::string signature = sign(key, message);
  ASSERT_TRUE(ed25519_verify(public_key(key), message, signature));
  for (size_t bit = 0; bit < 64 * 8; ++bit) {
    std::string changed = signature;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(ed25519_verify(public_key(key), message, changed)) << bit;
  }
  EXPECT_FALSE(ed25519_verify(public_key(key), "hallo", signature));
  EXPECT_FALSE(ed25519_verify(public_key(Ed25519Key::generate()), message, signature));
}

TEST(Ed25519Test, RefusesOtherSizesAndKeysOfLowOrder) {
  const Ed25519Key key = Ed25519Key::generate();
  const std::string signature = sign(key, "m");
  EXPECT_FALSE(ed25519_verify(public_key(key), "m", ""));
  EXPECT_FALSE(ed25519_verify(public_key(key), "m", signature.substr(1)));
  EXPECT_FALSE(ed25519_verify(public_key(key), "m", signature + "x"));
  EXPECT_FALSE(ed25519_verify("", "m", signature));
  // The neutral element as key: R = 0 and S = 0 would be a signature of everything.
  std::string neutral(32, '\0');
  neutral[0] = 1;
  EXPECT_FALSE(ed25519_verify(neutral, "m", neutral + std::string(32, '\0')));
}

TEST(Ed25519DeathTest, DoesNotSignInAForkedProcess) {
  const Ed25519Key key = Ed25519Key::generate();
  EXPECT_DEATH(sign(key, "m"), "used in a forked process");
}

TEST(Ed25519Test, RefusesSeedsOfAnotherSize) {
  EXPECT_FALSE(Ed25519Key::from_seed("short").ok());
  EXPECT_FALSE(Ed25519Key::from_seed(std::string(33, 'x')).ok());
}

}  // namespace
}  // namespace raymesh::crypto
