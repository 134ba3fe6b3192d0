#include "libs/base/encoding.hpp"

#include <gtest/gtest.h>

#include <string>

namespace raymesh {
namespace {

using namespace std::string_literals;

TEST(EncodingTest, HexGoesBothWays) {
  EXPECT_EQ(hex_encode("\x00\xff\x10"s), "00ff10");
  EXPECT_EQ(hex_decode("00FF10"), "\x00\xff\x10"s);
  EXPECT_EQ(hex_decode(""), "");
}

TEST(EncodingTest, HexRefusesOddLengthAndForeignCharacters) {
  EXPECT_FALSE(hex_decode("0"));
  EXPECT_FALSE(hex_decode("0g"));
  EXPECT_FALSE(hex_decode(" 00"));
}

// RFC 4648 section 10.
TEST(EncodingTest, Base64MatchesTheRfcsVectors) {
  EXPECT_EQ(base64_encode(""), "");
  EXPECT_EQ(base64_encode("f"), "Zg==");
  EXPECT_EQ(base64_encode("fo"), "Zm8=");
  EXPECT_EQ(base64_encode("foo"), "Zm9v");
  EXPECT_EQ(base64_encode("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64url_encode("\xfb\xff\xfe"), "-__-");
  EXPECT_EQ(base64url_encode("f"), "Zg");
}

TEST(EncodingTest, Base64UrlReadsWhatItWrote) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(base64url_decode(base64url_encode(bytes)), bytes);
    bytes += static_cast<char>(i * 7);
  }
}

TEST(EncodingTest, Base64UrlAcceptsOneFormOnly) {
  EXPECT_EQ(base64url_decode("Zg"), "f");
  EXPECT_FALSE(base64url_decode("Zg==")) << "padding";
  EXPECT_FALSE(base64url_decode("Zh")) << "non-zero trailing bits";
  EXPECT_FALSE(base64url_decode("Zm9vY")) << "a length that no byte string has";
  EXPECT_FALSE(base64url_decode("Zm+v")) << "the other alphabet";
  EXPECT_FALSE(base64url_decode("Zm\n9"));
}

TEST(EncodingTest, Base64WithPaddingAcceptsOneFormOnly) {
  EXPECT_EQ(base64_decode("Zg=="), "f");
  EXPECT_EQ(base64_decode("Zm8="), "fo");
  EXPECT_EQ(base64_decode("Zm9vYmFy"), "foobar");
  EXPECT_FALSE(base64_decode("Zh==")) << "non-zero trailing bits";
  EXPECT_FALSE(base64_decode("Zm9=")) << "non-zero trailing bits";
  EXPECT_FALSE(base64_decode("Z===")) << "a length that no byte string has";
  EXPECT_FALSE(base64_decode("Zg")) << "padding is missing";
  for (size_t at = 0; at < 7; ++at) {
    std::string text = "Zm9vYm8=";
    text[at] = '*';
    EXPECT_FALSE(base64_decode(text)) << at;
  }
}

TEST(EncodingTest, PercentDecodingLeavesPlusAlone) {
  EXPECT_EQ(percent_decode("a%20b+c%2F%00"), "a b+c/\0"s);
  EXPECT_FALSE(percent_decode("%"));
  EXPECT_FALSE(percent_decode("%2"));
  EXPECT_FALSE(percent_decode("%2x"));
  EXPECT_FALSE(percent_decode("100%"));
  EXPECT_FALSE(percent_decode("a%20b%2"));
  EXPECT_EQ(percent_decode("%41%42c%44"), "ABcD");
}

TEST(EncodingTest, Utf8AcceptsEveryLength) {
  EXPECT_TRUE(is_valid_utf8("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
  EXPECT_TRUE(is_valid_utf8(""));
  EXPECT_TRUE(is_valid_utf8("\xf4\x8f\xbf\xbf")) << "U+10FFFF";
}

// RFC 3629 sections 3 and 4.
TEST(EncodingTest, Utf8RefusesOverlongSurrogateTruncatedAndTooLarge) {
  EXPECT_FALSE(is_valid_utf8("\xc0\x80"));
  EXPECT_FALSE(is_valid_utf8("\xe0\x80\x80"));
  EXPECT_FALSE(is_valid_utf8("\xed\xa0\x80"));
  EXPECT_FALSE(is_valid_utf8("\xf4\x90\x80\x80"));
  EXPECT_FALSE(is_valid_utf8("\xf5\x80\x80\x80"));
  EXPECT_FALSE(is_valid_utf8("\xe2\x82"));
  EXPECT_FALSE(is_valid_utf8("\x80"));
}

}  // namespace
}  // namespace raymesh
