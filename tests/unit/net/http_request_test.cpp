#include "libs/net/http_request.hpp"

#include <gtest/gtest.h>

#include <string>

namespace raymesh::net {
namespace {

struct Parsed {
  HeadState state;
  RequestHead head;
  std::string buffer;
};

// The head's views stay valid, because the buffer moves with it on the heap.
std::unique_ptr<Parsed> parse(std::string buffer, HeadLimits limits = {}) {
  auto p = std::make_unique<Parsed>();
  p->buffer = std::move(buffer);
  RequestParser parser(limits);
  p->state = parser.parse(p->buffer, p->head);
  return p;
}

HeadState state_of(const std::string& buffer) {
  return parse(buffer)->state;
}

TEST(RequestParserTest, ReadsMethodTargetFieldsAndFraming) {
  auto p = parse(
      "POST /api/v1/db?x=1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 12\r\nX-Thing:  two words \r\n"
      "\r\n{\"body\":true");
  ASSERT_EQ(p->state, HeadState::kComplete);
  EXPECT_EQ(p->head.method, "POST");
  EXPECT_EQ(p->head.target, "/api/v1/db?x=1");
  EXPECT_EQ(p->head.field("x-thing"), "two words");
  EXPECT_EQ(p->head.field("X-None"), "");
  EXPECT_EQ(p->head.content_length, 12u);
  EXPECT_FALSE(p->head.chunked);
  EXPECT_TRUE(p->head.keep_alive);
  EXPECT_EQ(p->buffer.substr(p->head.size), "{\"body\":true");
}

TEST(RequestParserTest, WaitsForTheWholeHeadAtEveryByte) {
  const std::string request = "GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
  for (size_t n = 0; n < request.size(); ++n)
    EXPECT_EQ(state_of(request.substr(0, n)), HeadState::kNeedMore) << n;
  EXPECT_EQ(state_of(request), HeadState::kComplete);
}

TEST(RequestParserTest, SkipsEmptyLinesBeforeTheRequestLine) {
  auto p = parse("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest");
  ASSERT_EQ(p->state, HeadState::kComplete);
  EXPECT_EQ(p->buffer.substr(p->head.size), "rest");
  EXPECT_EQ(state_of("\r\n\r"), HeadState::kNeedMore);
}

TEST(RequestParserTest, KeepAliveFollowsVersionAndConnection) {
  EXPECT_TRUE(parse("GET / HTTP/1.1\r\nHost: a\r\n\r\n")->head.keep_alive);
  EXPECT_FALSE(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n")->head.keep_alive);
  EXPECT_FALSE(parse("GET / HTTP/1.0\r\n\r\n")->head.keep_alive);
  EXPECT_TRUE(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")->head.keep_alive);
}

TEST(RequestParserTest, SeesUpgradeAndExpect) {
  auto p = parse(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
      "Expect: 100-Continue\r\n\r\n");
  EXPECT_TRUE(p->head.upgrade);
  EXPECT_TRUE(p->head.expect_continue);
}

TEST(RequestParserTest, RefusesWhatCouldBeReadInTwoWays) {
  const std::string start = "POST / HTTP/1.1\r\nHost: a\r\n";
  for (const std::string fields : {
           "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
           "Content-Length: 3\r\nContent-Length: 3\r\n",
           "Content-Length: 3\r\nContent-Length: 4\r\n",
           "Content-Length: 3, 3\r\n",
           "Content-Length: +3\r\n",
           "Content-Length: -3\r\n",
           "Content-Length: 0x3\r\n",
           "Content-Length: 3 \t3\r\n",
           "Content-Length:\r\n",
           "Content-Length: 99999999999999999999\r\n",
           "Transfer-Encoding: gzip, chunked\r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked, identity\r\n",
           "Transfer-Encoding: xchunked\r\n",
           "Transfer-Encoding: \x0b"
           "chunked\r\n",
           "Transfer-Encoding : chunked\r\n",
           "Content-Length : 3\r\n",
           " Content-Length: 3\r\n",
           "X: a\r\n folded\r\n",
           "X: a\r\n\tfolded\r\n",
           "X: a\nContent-Length: 3\r\n",
           "X: a\rContent-Length: 3\r\n",
           "X\r\n",
           ": x\r\n",
           "X y: z\r\n",
           "Host: b\r\n",
       })
    EXPECT_EQ(state_of(start + fields + "\r\n"), HeadState::kMalformed) << fields;
}

TEST(RequestParserTest, RefusesBadRequestLines) {
  for (const std::string line : {
           "GET / HTTP/1.1\nHost: a\n\n",
           "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
           "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
           "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
           "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
           "GET /\r\nHost: a\r\n\r\n",
           "GET / http/1.1\r\nHost: a\r\n\r\n",
           "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
           "GET / HTTP/1.1\r\n\r\n",  // no Host
           "\x16\x03\x01\x02\r\n\r\n",
       })
    EXPECT_EQ(state_of(line), HeadState::kMalformed) << line;
}

TEST(RequestParserTest, LimitsBytesAndFields) {
  const std::string big(300, 'x');
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: a\r\nX: " + big, {256, 10})->state,
            HeadState::kTooLarge);
  EXPECT_EQ(parse("GET /" + big, {256, 10})->state, HeadState::kTooLarge);
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 10; ++i) many += "X" + std::to_string(i) + ": y\r\n";
  EXPECT_EQ(parse(many + "\r\n", {1024, 10})->state, HeadState::kTooLarge);
  EXPECT_EQ(parse(many + "\r\n", {1024, 11})->state, HeadState::kComplete);
}

TEST(RequestHeadTest, FindsTokensInLists) {
  auto p = parse("GET / HTTP/1.1\r\nHost: a\r\nA: x ,  y\r\nA: Z\r\n\r\n");
  for (auto token : {"x", "Y", "z"}) EXPECT_TRUE(p->head.has_token("a", token)) << token;
  EXPECT_FALSE(p->head.has_token("a", "x ,  y"));
  EXPECT_EQ(p->head.count("a"), 2u);
}

}  // namespace
}  // namespace raymesh::net
