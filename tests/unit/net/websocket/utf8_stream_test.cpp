#include "libs/net/websocket/utf8_stream.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "libs/base/encoding.hpp"

namespace raymesh::net::websocket {
namespace {

bool accepts(const std::vector<std::string>& pieces) {
  Utf8Stream stream;
  for (const auto& piece : pieces)
    if (!stream.feed(piece)) return false;
  return stream.complete();
}

TEST(Utf8StreamTest, AgreesWithTheWholeTextWhereverItIsCut) {
  const std::vector<std::string> texts = {
      "plain", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
      "\xef\xbf\xbe", "\xed\x9f\xbf\xee\x80\x80",
      // Not UTF-8: surrogate, overlong forms, above U+10FFFF, lone and missing continuations.
      "a\xed\xa0\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf4\x90\x80\x80", "\x80",
      "\xf8\x88\x80\x80\x80", "\xe2\x28\xa1", "\xf0\x9f\x98", "\xc3"};
  for (const auto& text : texts) {
    const bool whole = is_valid_utf8(text);
    EXPECT_EQ(is_utf8(text), whole);
    for (size_t i = 0; i <= text.size(); ++i) {
      EXPECT_EQ(accepts({text.substr(0, i), text.substr(i)}), whole) << text << " " << i;
      for (size_t j = i; j <= text.size(); ++j)
        EXPECT_EQ(accepts({text.substr(0, i), text.substr(i, j - i), text.substr(j)}), whole)
            << text << " " << i << " " << j;
    }
  }
}

TEST(Utf8StreamTest, FailsAtTheByteThatMakesItHopeless) {
  Utf8Stream stream;
  EXPECT_TRUE(stream.feed("\xe0"));
  EXPECT_FALSE(stream.feed("\x80"));
}

}  // namespace
}  // namespace raymesh::net::websocket
