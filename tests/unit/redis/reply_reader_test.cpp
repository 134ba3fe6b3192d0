#include "libs/redis/reply_reader.hpp"

#include <gtest/gtest.h>

#include <random>

namespace raymesh::redis {
namespace {

using namespace std::string_literals;

std::vector<Reply> read_all(ReplyReader& reader, std::string_view bytes, size_t step) {
  std::vector<Reply> replies;
  for (size_t i = 0; i < bytes.size(); i += step) {
    EXPECT_TRUE(reader.feed(bytes.substr(i, step)).ok());
    for (;;) {
      Reply reply;
      auto next = reader.next(reply);
      EXPECT_TRUE(next.ok());
      if (!next.ok() || !*next) break;
      replies.push_back(std::move(reply));
    }
  }
  return replies;
}

TEST(ReplyReaderTest, ReadsEveryTypeInAnyPieces) {
  const std::string bytes =
      "+OK\r\n-WRONGTYPE no\r\n:-42\r\n$-1\r\n$6\r\na\r\n\0bc\r\n*-1\r\n*0\r\n"
      "*3\r\n$1\r\nx\r\n*2\r\n:1\r\n$-1\r\n-ERR inner\r\n"s;
  for (size_t step : {size_t{1}, size_t{2}, size_t{7}, bytes.size()}) {
    ReplyReader reader;
    auto replies = read_all(reader, bytes, step);
    ASSERT_EQ(replies.size(), 8u) << "in pieces of " << step;
    EXPECT_TRUE(replies[0].is_status("OK"));
    EXPECT_TRUE(replies[1].is_error());
    EXPECT_EQ(replies[1].text, "WRONGTYPE no");
    EXPECT_EQ(replies[2].integer, -42);
    EXPECT_TRUE(replies[3].is_nil());
    EXPECT_EQ(replies[4].text, std::string("a\r\n\0bc", 6));
    EXPECT_TRUE(replies[5].is_nil());
    EXPECT_TRUE(replies[6].is_array());
    EXPECT_TRUE(replies[6].items.empty());
    ASSERT_EQ(replies[7].items.size(), 3u);
    EXPECT_EQ(replies[7].items[0].text, "x");
    ASSERT_EQ(replies[7].items[1].items.size(), 2u);
    EXPECT_EQ(replies[7].items[1].items[0].integer, 1);
    EXPECT_TRUE(replies[7].items[1].items[1].is_nil());
    EXPECT_EQ(replies[7].items[2].text, "ERR inner");
  }
}

TEST(ReplyReaderTest, RefusesWhatIsNoReply) {
  for (std::string_view bytes : {"HTTP/1.1 400 Bad Request\r\n", "%1\r\n", "$-2\r\n", "*-7\r\n",
                                 "*99999999999999999999\r\n", ":12a\r\n"}) {
    ReplyReader reader;
    ASSERT_TRUE(reader.feed(bytes).ok());
    Reply reply;
    EXPECT_FALSE(reader.next(reply).ok()) << bytes;
  }
}

TEST(ReplyReaderTest, RefusesTooManyElements) {
  ReaderLimits limits;
  limits.max_elements = 10;
  for (std::string_view bytes : {"*11\r\n", "*6\r\n*5\r\n", "*2147483647\r\n"}) {
    ReplyReader reader(limits);
    ASSERT_TRUE(reader.feed(bytes).ok());
    Reply reply;
    EXPECT_FALSE(reader.next(reply).ok()) << bytes;
  }
  ReplyReader reader(limits);
  for (int i = 0; i < 5; ++i) {  // the limit is per reply
    ASSERT_TRUE(reader.feed("*3\r\n:1\r\n:2\r\n:3\r\n").ok());
    Reply reply;
    auto next = reader.next(reply);
    ASSERT_TRUE(next.ok() && *next);
  }
}

TEST(ReplyReaderTest, RefusesTooManyBytes) {
  ReaderLimits limits;
  limits.max_reply_bytes = 10'000;
  ReplyReader reader(limits);
  ASSERT_TRUE(reader.feed("$500000\r\n").ok());
  std::string piece(1000, 'x');
  Status status = ok_status();
  int pieces = 0;
  for (; status.ok() && pieces < 100; ++pieces) {
    status = reader.feed(piece);
    Reply reply;
    if (status.ok()) {
      auto next = reader.next(reply);
      ASSERT_TRUE(next.ok() && !*next);
    }
  }
  EXPECT_LT(pieces, 13);
}

TEST(ReplyReaderTest, SurvivesGarbage) {
  std::mt19937 random(7);
  const std::string alphabet = "+-:$*\r\n0123456789abc";
  ReaderLimits limits;
  limits.max_elements = 1000;
  for (int round = 0; round < 20'000; ++round) {
    ReplyReader reader(limits);
    std::string bytes;
    for (size_t i = 0, n = random() % 40; i < n; ++i)
      bytes.push_back(alphabet[random() % alphabet.size()]);
    if (!reader.feed(bytes).ok()) continue;
    for (;;) {
      Reply reply;
      auto next = reader.next(reply);
      if (!next.ok() || !*next) break;
    }
  }
}

}  // namespace
}  // namespace raymesh::redis
