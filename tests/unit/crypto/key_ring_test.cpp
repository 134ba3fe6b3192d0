#include "libs/crypto/key_ring.hpp"

#include <gtest/gtest.h>

#include "libs/base/encoding.hpp"

namespace raymesh::crypto {
namespace {

const std::string kSecret(32, 's');

Result<KeyRing> parse(std::vector<std::string> pairs) {
  return KeyRing::parse(pairs);
}

TEST(KeyRingTest, TheFirstKeySigns) {
  auto ring = parse({"new:" + kSecret, "old:" + kSecret}).value();
  EXPECT_EQ(ring.signing().id, "new");
  EXPECT_EQ(ring.keys().size(), 2u);
}

TEST(KeyRingTest, ASecretMayContainColons) {
  auto ring = parse({"k:" + kSecret + ":more"}).value();
  EXPECT_EQ(ring.signing().hmac.compute("x"), hmac_sha256(kSecret + ":more", "x"));
}

TEST(KeyRingTest, GeneratedKeysAreAccepted) {
  auto pair = KeyRing::generate("k1");
  EXPECT_EQ(parse({pair}).value().signing().id, "k1");
  EXPECT_NE(pair, KeyRing::generate("k1"));
}

TEST(KeyRingTest, RefusesBadKeysAndNamesThemWithoutTheSecret) {
  const std::string short_secret = "0123456789012345678901234567890";
  for (const auto& [pairs, expected] :
       std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{}, "no token key is given"},
           {{"nokid"}, "token key 1 is not of the form kid:secret"},
           {{":" + kSecret}, "token key 1: the kid must be 1 to 32 characters of [A-Za-z0-9._-]"},
           {{"k 1:" + kSecret},
            "token key 1: the kid must be 1 to 32 characters of [A-Za-z0-9._-]"},
           {{std::string(33, 'k') + ":" + kSecret},
            "token key 1: the kid must be 1 to 32 characters of [A-Za-z0-9._-]"},
           {{"a:" + kSecret, "b:" + short_secret},
            "token key 2 (b): the secret has 31 bytes, at least 32 are needed"},
           {{"a:" + kSecret, "a:" + kSecret}, "token key 2: the kid a is used twice"},
           {std::vector<std::string>(17, "a:" + kSecret), "more than 16 token keys are given"}}) {
    auto ring = parse(pairs);
    ASSERT_FALSE(ring.ok());
    EXPECT_TRUE(ring.error().is(errors::kInvalidValue));
    EXPECT_EQ(ring.error().message, expected);
  }
}

}  // namespace
}  // namespace raymesh::crypto
