#include "libs/crypto/sha256.hpp"

#include <gtest/gtest.h>

#include <string>

#include "libs/base/encoding.hpp"
#include "libs/crypto/hash.hpp"
#include "libs/crypto/random.hpp"

namespace raymesh::crypto {
namespace {

std::string finish(Sha256& hash) {
  std::string out(Sha256::kBytes, '\0');
  hash.finish(reinterpret_cast<unsigned char*>(out.data()));
  return out;
}

std::string counting(int first, int last) {
  std::string out;
  for (int i = first; i <= last; ++i) out += static_cast<char>(i);
  return out;
}

std::string hkdf(std::string_view ikm, std::string_view salt, std::string_view info, size_t size) {
  Secret32 prk;
  hkdf_extract(salt, ikm, prk);
  std::string out(size, '\0');
  hkdf_expand(prk.view(), info, reinterpret_cast<unsigned char*>(out.data()), size);
  return hex_encode(out);
}

TEST(IncrementalSha256Test, GivesTheSameInPiecesAndBeginsAnew) {
  const std::string text = random_bytes(1'000);
  Sha256 hash;
  for (const size_t step : {1, 3, 63, 64, 65, 1'000}) {
    for (size_t at = 0; at < text.size(); at += step)
      hash.update(std::string_view(text).substr(at, step));
    EXPECT_EQ(finish(hash), sha256(text)) << step;
  }
  EXPECT_EQ(finish(hash), sha256(""));
}

TEST(IncrementalSha256Test, ACopyGoesOnFromThePrefix) {
  Sha256 hash;
  hash.update("a");
  Sha256 other = hash;
  EXPECT_EQ(finish(hash.update("b")), sha256("ab"));
  EXPECT_EQ(finish(other.update("c")), sha256("ac"));
}

TEST(HmacSha256StateTest, AgreesWithTheOtherImplementation) {
  for (const size_t size : {0, 1, 20, 32, 63, 64, 65, 131}) {
    const std::string key = random_bytes(size);
    HmacSha256 hmac(key);
    for (const std::string& text : {std::string(), random_bytes(100)}) {
      std::string out(32, '\0');
      hmac.update(text).finish(reinterpret_cast<unsigned char*>(out.data()));
      EXPECT_EQ(out, hmac_sha256(key, text)) << size;
    }
  }
}

TEST(HkdfTest, MatchesRfc5869) {
  EXPECT_EQ(hkdf(std::string(22, 0x0b), counting(0, 0x0c), counting(0xf0, 0xf9), 42),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  EXPECT_EQ(
      hkdf(counting(0, 0x4f), counting(0x60, 0xaf), counting(0xb0, 0xff), 82),
      "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e59"
      "0e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
  EXPECT_EQ(hkdf(std::string(22, 0x0b), "", "", 42),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST(HkdfTest, MayWriteOverItsKey) {
  Secret32 secret;
  secret.assign(std::string(32, 's'));
  Secret32 next;
  hkdf_expand(secret.view(), "next", next);
  hkdf_expand(secret.view(), "next", secret);
  EXPECT_EQ(secret.view(), next.view());
}

TEST(HkdfDeathTest, RefusesMoreThanHkdfCanGive) {
  EXPECT_DEATH(hkdf("ikm", "", "", 255 * 32 + 1), "HKDF cannot give 8161 bytes");
}

}  // namespace
}  // namespace raymesh::crypto
