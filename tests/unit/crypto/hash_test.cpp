#include "libs/crypto/hash.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "libs/base/encoding.hpp"

namespace raymesh::crypto {
namespace {

std::string bytes(std::string_view hex) {
  return hex_decode(hex).value();
}
std::string repeated(int byte, size_t count) {
  return std::string(count, static_cast<char>(byte));
}

// FIPS 180-4 examples
// (https://csrc.nist.gov/projects/cryptographic-standards-and-guidelines/example-values)
TEST(Sha256Test, MatchesTheStandardsExamples) {
  EXPECT_EQ(hex_encode(sha256("")),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex_encode(sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex_encode(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex_encode(sha256(std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

struct HmacVector {
  std::string key;
  std::string data;
  std::string tag;
};

// RFC 4231 section 4; case 5 asks for the first 128 bits only.
std::vector<HmacVector> rfc4231() {
  std::string counting;
  for (char c = 1; c <= 25; ++c) counting += c;
  return {
      {repeated(0x0b, 20), "Hi There",
       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {repeated(0xaa, 20), repeated(0xdd, 50),
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {counting, repeated(0xcd, 50),
       "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
      {repeated(0x0c, 20), "Test With Truncation", "a3b6167473100ee06e0c796c2955552b"},
      {repeated(0xaa, 131), "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
      {repeated(0xaa, 131),
       "This is a test using a larger than block-size key and a larger than block-size data. The "
       "key needs to be hashed before being used by the HMAC algorithm.",
       "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
  };
}

TEST(HmacSha256Test, MatchesRfc4231) {
  for (const HmacVector& v : rfc4231())
    EXPECT_EQ(hex_encode(hmac_sha256(v.key, v.data)).substr(0, v.tag.size()), v.tag);
}

TEST(HmacSha256Test, TakesAnEmptyKeyAndEmptyData) {
  EXPECT_EQ(hex_encode(hmac_sha256("", "")),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(HmacKeyTest, ComputesManyTimesAndFromManyThreads) {
  const HmacKey key(repeated(0x0b, 20));
  const std::string expected = bytes(rfc4231().front().tag);
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (int& mine : wrong)
    threads.emplace_back([&] {
      for (int i = 0; i < 1'000; ++i) mine += key.compute("Hi There") != expected;
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(HmacKeyTest, WorksAfterAMove) {
  HmacKey key(repeated(0x0b, 20));
  HmacKey moved = std::move(key);
  EXPECT_EQ(hex_encode(moved.compute("Hi There")), rfc4231().front().tag);
}

TEST(ConstantTimeEqualTest, ComparesContentAndLength) {
  EXPECT_TRUE(constant_time_equal("", ""));
  EXPECT_TRUE(constant_time_equal("same", "same"));
  EXPECT_FALSE(constant_time_equal("same", "samf"));
  EXPECT_FALSE(constant_time_equal("same", "same "));
  EXPECT_FALSE(constant_time_equal("", "x"));
  EXPECT_FALSE(constant_time_equal(std::string_view("a\0b", 3), std::string_view("a\0c", 3)));
}

}  // namespace
}  // namespace raymesh::crypto
