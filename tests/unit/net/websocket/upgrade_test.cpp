#include "libs/net/websocket/upgrade.hpp"

#include <gtest/gtest.h>

namespace raymesh::net::websocket {
namespace {

// RFC 6455 section 1.2 and 1.3.
constexpr std::string_view kRequest =
    "GET /chat?token=a.b-c_d&x=%20y HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: WebSocket\r\n"
    "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Origin: http://example.com\r\nSec-WebSocket-Protocol: chat, superchat\r\n"
    "Sec-WebSocket-Version: 13\r\n\r\n";

std::string without(std::string_view line_start) {
  std::string text(kRequest);
  const size_t from = text.find(line_start);
  text.erase(from, text.find("\r\n", from) + 2 - from);
  return text;
}

TEST(UpgradeTest, ParsesTheRequestOfTheRfc) {
  const auto r = parse_upgrade(kRequest);
  ASSERT_TRUE(r.ok());
  EXPECT_TRUE(r->is_upgrade);
  EXPECT_EQ(r->version, 13);
  EXPECT_EQ(r->path, "/chat");
  EXPECT_EQ(query_value(r->query, "token"), "a.b-c_d");
  EXPECT_EQ(query_value(r->query, "x"), " y");
  EXPECT_EQ(query_value(r->query, "y"), "");
  EXPECT_EQ(r->key, "dGhlIHNhbXBsZSBub25jZQ==");
  EXPECT_EQ(r->origin, "http://example.com");
  EXPECT_EQ(r->protocols, "chat, superchat");
  EXPECT_FALSE(r->has_body);
}

TEST(UpgradeTest, AnswersAsTheRfcDoes) {
  EXPECT_EQ(accept_value("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  const auto text = accept_response("dGhlIHNhbXBsZSBub25jZQ==");
  EXPECT_NE(text.find("HTTP/1.1 101 "), std::string::npos);
  EXPECT_EQ(text.substr(text.size() - 4), "\r\n\r\n");
}

TEST(UpgradeTest, JoinsTheLinesOfExtensionsAndNamesThoseAgreedOn) {
  EXPECT_EQ(parse_upgrade(kRequest)->extensions, "");
  std::string text(kRequest);
  text.insert(text.find("Origin"), "sec-websocket-extensions: a; b=1\r\n");
  text.insert(text.find("Connection"), "Sec-WebSocket-Extensions: c, d\r\n");
  EXPECT_EQ(parse_upgrade(text)->extensions, "c, d, a; b=1");
  const auto key = "dGhlIHNhbXBsZSBub25jZQ==";
  EXPECT_EQ(accept_response(key).find("Extensions"), std::string::npos);
  EXPECT_NE(accept_response(key, {}, "a; b").find("\r\nSec-WebSocket-Extensions: a; b\r\n"),
            std::string::npos);
}

TEST(UpgradeTest, SeesWhatIsMissing) {
  EXPECT_FALSE(parse_upgrade(without("Upgrade:"))->is_upgrade);
  EXPECT_FALSE(parse_upgrade(without("Connection:"))->is_upgrade);
  EXPECT_EQ(parse_upgrade(without("Sec-WebSocket-Key"))->key, "");
  EXPECT_EQ(parse_upgrade(without("Sec-WebSocket-Version"))->version, 0);
  std::string bad_key(kRequest);
  bad_key.replace(bad_key.find("dGhl"), 4, "d hl");
  EXPECT_EQ(parse_upgrade(bad_key)->key, "");
  std::string post(kRequest);
  post.replace(0, 3, "POST");
  EXPECT_FALSE(parse_upgrade(post)->is_upgrade);
  std::string old(kRequest);
  old.replace(old.find("HTTP/1.1"), 8, "HTTP/1.0");
  EXPECT_FALSE(parse_upgrade(old)->is_upgrade);
}

TEST(UpgradeTest, SeesABody) {
  std::string text(kRequest);
  text.insert(text.find("Origin"), "Content-Length: 3\r\n");
  const auto r = parse_upgrade(text);
  ASSERT_TRUE(r.ok());
  EXPECT_TRUE(r->has_body);
}

TEST(UpgradeTest, RefusesGarbage) {
  for (const char* bad : {"\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/1.1\r\nbad header\r\n\r\n",
                          "\x16\x03\x01\x02\x00\r\n\r\n", "GET / HTTP/3.7\r\n\r\n",
                          "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\nrest"}) {
    const auto r = parse_upgrade(bad);
    if (r.ok()) {
      EXPECT_FALSE(r->is_upgrade) << bad;
    } else {
      EXPECT_EQ(r.error().code(), "malformed_http") << bad;
    }
  }
}

TEST(UpgradeTest, FindsTheEndOfAHeadThatTricklesIn) {
  std::string seen;
  for (size_t i = 0; i < kRequest.size(); ++i) {
    const size_t searched = seen.size();
    seen += kRequest[i];
    const size_t end = find_head_end(seen, searched);
    EXPECT_EQ(end, i + 1 == kRequest.size() ? kRequest.size() : std::string::npos);
  }
}

TEST(UpgradeTest, RefusalsAreJsonAndEndTheConnection) {
  const auto text = refuse_response(401, Error(errors::kInvalidToken, "bad \"token\""),
                                    "Sec-WebSocket-Version: 13\r\n");
  EXPECT_EQ(text.rfind("HTTP/1.1 401 Unauthorized\r\n", 0), 0u);
  EXPECT_NE(text.find("Connection: close\r\n"), std::string::npos);
  EXPECT_NE(text.find("Sec-WebSocket-Version: 13\r\n"), std::string::npos);
  EXPECT_NE(text.find("{\"error\":\"bad \\\"token\\\"\",\"code\":\"invalid_token\"}"),
            std::string::npos);
}

}  // namespace
}  // namespace raymesh::net::websocket
