#include "libs/net/chunked_body.hpp"

#include <gtest/gtest.h>

namespace raymesh::net {
namespace {

using State = ChunkedBody::State;

State decode(std::string_view input, std::string& body, std::string_view* rest = nullptr) {
  ChunkedBody decoder(1000);
  const State state = decoder.feed(input, body);
  if (rest) *rest = input;
  return state;
}

TEST(ChunkedBodyTest, JoinsChunksAndLeavesWhatFollows) {
  std::string body;
  std::string_view rest;
  EXPECT_EQ(decode("4\r\nWiki\r\n5;a=\"b\"\r\npedia\r\n0\r\nX: y\r\n\r\nGET /", body, &rest),
            State::kComplete);
  EXPECT_EQ(body, "Wikipedia");
  EXPECT_EQ(rest, "GET /");
}

TEST(ChunkedBodyTest, ResumesAtEveryByte) {
  const std::string input = "A\r\n0123456789\r\n0\r\nT: 1\r\nU: 2\r\n\r\n";
  for (size_t cut = 0; cut <= input.size(); ++cut) {
    ChunkedBody decoder(1000);
    std::string body;
    std::string_view first = std::string_view(input).substr(0, cut);
    std::string_view second = std::string_view(input).substr(cut);
    if (cut < input.size()) {
      EXPECT_EQ(decoder.feed(first, body), State::kNeedMore);
      EXPECT_EQ(decoder.feed(second, body), State::kComplete) << cut;
    } else {
      EXPECT_EQ(decoder.feed(first, body), State::kComplete);
    }
    EXPECT_EQ(body, "0123456789");
  }
}

TEST(ChunkedBodyTest, RefusesWhatIsNotExactlyTheGrammar) {
  for (std::string_view input : {"\r\n", "x\r\n", "-1\r\n", "0x4\r\nWiki", "4\nWiki\r\n0\r\n\r\n",
                                 "4\r\nWikiX", "4\r\nWiki\n", "1;a\nb\r\n", "1234567890123456\r\n",
                                 "0\r\nX: y\n\r\n", "4\rWiki", "4\r\nWiki\r\r"}) {
    std::string body;
    EXPECT_EQ(decode(input, body), State::kMalformed) << input;
  }
}

TEST(ChunkedBodyTest, BoundsBodyAndOverhead) {
  std::string body;
  EXPECT_EQ(decode("3E9\r\n", body), State::kTooLarge);
  ChunkedBody decoder(5);
  std::string_view two = "3\r\nabc\r\n3\r\nabc\r\n";
  EXPECT_EQ(decoder.feed(two, body), State::kTooLarge);
  EXPECT_EQ(decode("1;" + std::string(20'000, 'x'), body), State::kMalformed);
  EXPECT_EQ(decode("0\r\n" + std::string(20'000, 'x'), body), State::kMalformed);
}

}  // namespace
}  // namespace raymesh::net
