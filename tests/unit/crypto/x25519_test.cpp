#include "libs/crypto/x25519.hpp"

#include <gtest/gtest.h>

#include <string>

#include "libs/base/encoding.hpp"

namespace raymesh::crypto {
namespace {

std::string bytes(std::string_view hex) {
  return hex_decode(hex).value();
}

std::string multiply(const std::string& scalar, const std::string& point) {
  Secret32 key;
  Secret32 shared;
  key.assign(scalar);
  EXPECT_TRUE(x25519_shared(key, point, shared));
  return std::string(shared.view());
}

TEST(X25519Test, MatchesRfc7748Section52) {
  EXPECT_EQ(hex_encode(multiply(
                bytes("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"),
                bytes("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"))),
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

TEST(X25519Test, MatchesRfc7748After1000Rounds) {
  std::string k(32, '\0');
  k[0] = 9;
  std::string u = k;
  for (int round = 1; round <= 1'000; ++round) {
    std::string next = multiply(k, u);
    u = std::exchange(k, next);
    if (round == 1) {
      EXPECT_EQ(hex_encode(k), "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    }
  }
  EXPECT_EQ(hex_encode(k), "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

TEST(X25519Test, MatchesRfc7748Section61) {
  Secret32 alice;
  Secret32 bob;
  alice.assign(bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"));
  bob.assign(bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"));
  X25519PublicKey alice_public;
  X25519PublicKey bob_public;
  x25519_public_key(alice, alice_public);
  x25519_public_key(bob, bob_public);
  EXPECT_EQ(hex_encode({alice_public.data(), 32}),
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(hex_encode({bob_public.data(), 32}),
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  Secret32 shared;
  ASSERT_TRUE(x25519_shared(alice, {bob_public.data(), 32}, shared));
  EXPECT_EQ(hex_encode(shared.view()),
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
  ASSERT_TRUE(x25519_shared(bob, {alice_public.data(), 32}, shared));
  EXPECT_EQ(hex_encode(shared.view()),
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

// The points whose order divides 8, with their forms that are not reduced modulo 2^255 - 19 and
// with the highest bit set, which X25519 ignores (https://cr.yp.to/ecdh.html, "validate").
TEST(X25519Test, RefusesPointsOfLowOrder) {
  const char* points[] = {
      "0000000000000000000000000000000000000000000000000000000000000000",
      "0100000000000000000000000000000000000000000000000000000000000000",
      "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
      "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
      "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  };
  Secret32 key;
  X25519PublicKey unused;
  x25519_generate(key, unused);
  for (const char* point : points) {
    for (const int high_bit : {0x00, 0x80}) {
      std::string theirs = bytes(point);
      theirs[31] = static_cast<char>(theirs[31] | high_bit);
      Secret32 shared;
      shared.data()[0] = 1;
      EXPECT_FALSE(x25519_shared(key, theirs, shared)) << point;
      EXPECT_EQ(shared.view(), std::string(32, '\0')) << point;
    }
  }
}

TEST(X25519Test, RefusesKeysOfAnotherSize) {
  Secret32 key;
  X25519PublicKey public_key;
  x25519_generate(key, public_key);
  Secret32 shared;
  const std::string longer = std::string(public_key.data(), 32) + "x";
  for (const size_t size : {0, 31, 33})
    EXPECT_FALSE(x25519_shared(key, std::string_view(longer).substr(0, size), shared)) << size;
}

TEST(X25519Test, GeneratesAnotherKeyEachTime) {
  Secret32 first;
  Secret32 second;
  X25519PublicKey first_public;
  X25519PublicKey second_public;
  x25519_generate(first, first_public);
  x25519_generate(second, second_public);
  EXPECT_NE(first.view(), second.view());
  EXPECT_NE(first_public, second_public);
}

}  // namespace
}  // namespace raymesh::crypto
