#include "libs/crypto/record.hpp"

#include <gtest/gtest.h>

#include "libs/base/encoding.hpp"
#include "libs/crypto/random.hpp"

namespace raymesh::crypto {
namespace {

std::string bytes_from(unsigned char first, size_t count) {
  std::string bytes;
  for (size_t i = 0; i < count; ++i) bytes += static_cast<char>(first + i);
  return bytes;
}

// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
TEST(RecordTest, KnownAnswer) {
  Secret32 key;
  key.assign(bytes_from(0x80, 32));
  const std::string nonce = bytes_from(0x40, 24);
  const std::string aad = hex_decode("50515253c0c1c2c3c4c5c6c7").value();
  const std::string text =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
      "sunscreen would be it.";
  std::string sealed;
  seal_record_with(std::span<const char, kRecordNonceBytes>(nonce.data(), kRecordNonceBytes), key,
                   aad, text, sealed);
  EXPECT_EQ(sealed.substr(0, 24), nonce);
  EXPECT_EQ(hex_encode(sealed.substr(24, 16)), "bd6d179d3e83d43b9576579493c0e939");
  EXPECT_EQ(hex_encode(sealed.substr(sealed.size() - 16)), "c0875924c1c7987947deafd8780acf49");
  const auto opened = open_record(key, aad, sealed);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->view(), text);
}

TEST(RecordTest, OpensOnlyWhatWasSealedAndNeverSealsAlike) {
  Secret32 key, other;
  key.assign(random_bytes(32));
  other.assign(random_bytes(32));
  for (const std::string& text : {std::string(), std::string("x"), random_bytes(5'000)}) {
    std::string sealed, again;
    seal_record(key, "aad", text, sealed);
    seal_record(key, "aad", text, again);
    EXPECT_NE(sealed, again);
    EXPECT_EQ(sealed.size(), text.size() + kRecordOverhead);
    ASSERT_TRUE(open_record(key, "aad", sealed));
    EXPECT_EQ(open_record(key, "aad", sealed)->view(), text);
    EXPECT_FALSE(open_record(other, "aad", sealed));
    EXPECT_FALSE(open_record(key, "aae", sealed));
    for (const size_t at : {size_t{0}, size_t{23}, size_t{24}, sealed.size() - 1}) {
      std::string changed = sealed;
      changed[at] ^= 1;
      EXPECT_FALSE(open_record(key, "aad", changed)) << at;
    }
    EXPECT_FALSE(open_record(key, "aad", std::string_view(sealed).substr(1)));
    EXPECT_FALSE(open_record(key, "aad", {}));
  }
}

}  // namespace
}  // namespace raymesh::crypto
