// RFC 6455 section 4: which requests open a socket, and what the others are answered.
#include <ostream>

#include "node_fixture.hpp"

namespace raymesh::realtime {
namespace {

struct Request {
  std::string claim;
  std::string line = "GET /?token=TOKEN HTTP/1.1";
  std::vector<std::string> fields;
  std::string status = "101";
  std::string has = {};  // what the answer's head has, too
};

std::ostream& operator<<(std::ostream& out, const Request& r) {
  return out << r.claim;
}

const std::string kLine = "GET /?token=TOKEN HTTP/1.1";
const std::string kHost = "Host: server.example.com";
const std::string kUpgrade = "Upgrade: websocket";
const std::string kConnection = "Connection: Upgrade";
const std::string kVersion = "Sec-WebSocket-Version: 13";
const std::string kKey = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const std::string kAccept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

class HandshakeTest : public NodeFixture, public ::testing::WithParamInterface<Request> {
 protected:
  std::string head_of(const Request& request) const {
    std::string out = request.line;
    out.replace(out.find("TOKEN"), 5, token_);
    out += "\r\n";
    for (const auto& field : request.fields) out += field + "\r\n";
    return out + "\r\n";
  }
  /// What comes back, as far as its empty line.
  static std::string answer(WsClient& client, const std::string& head, size_t piece) {
    for (size_t at = 0; at < head.size(); at += piece) client.send_raw(head.substr(at, piece));
    return client.receive_head();
  }

  std::string token_;
};

TEST_P(HandshakeTest, Holds) {
  start();
  token_ = token({"r"});
  for (const size_t piece : {size_t{100'000}, size_t{1}}) {
    SCOPED_TRACE("in pieces of " + std::to_string(piece));
    WsClient client(node_->port());
    const std::string head = answer(client, head_of(GetParam()), piece);
    EXPECT_EQ(head.substr(0, 13), "HTTP/1.1 " + GetParam().status + " ") << head;
    EXPECT_NE(head.find(GetParam().has), std::string::npos) << head;
    const bool opens = GetParam().status == "101";
    EXPECT_EQ(publish("r", "1"), opens ? 1u : 0u);
    if (!opens) {
      client.read_to_end();
      continue;
    }
    EXPECT_NE(head.find("\r\nUpgrade: websocket\r\n"), std::string::npos);
    EXPECT_NE(head.find("\r\nConnection: Upgrade\r\n"), std::string::npos);
    EXPECT_NE(head.find(kAccept), std::string::npos);
    EXPECT_EQ(client.receive_text(), message("r", "1"));
    client.send(net::websocket::Opcode::kClose, "");
    EXPECT_EQ(client.receive_close(), 0);
    eventually([&] { return node_->connections() == 0; });
  }
}

std::vector<Request> opens() {
  return {
      {"OpensTheUsualRequest", kLine, {kHost, kUpgrade, kConnection, kVersion, kKey}},
      {"ReadsNamesAndTokensInAnyCase",
       kLine,
       {"HOST: a", "uPGRADE: WebSocket", "connection: UPGRADE", "sec-websocket-version: 13",
        "SEC-WEBSOCKET-KEY: dGhlIHNhbXBsZSBub25jZQ=="}},
      {"FindsItsTokensInLists",
       kLine,
       {kHost, "Upgrade: h2c, websocket", "Connection: keep-alive, Upgrade", kVersion, kKey}},
      {"TrimsSpaceAroundValues",
       kLine,
       {"Host:a", "Upgrade:  websocket ", "Connection:\tUpgrade\t", "Sec-WebSocket-Version:13",
        "Sec-WebSocket-Key:   dGhlIHNhbXBsZSBub25jZQ==  "}},
      {"TakesAnyPath",
       "GET /any/path?x=1&token=TOKEN&y HTTP/1.1",
       {kHost, kUpgrade, kConnection, kVersion, kKey}},
      {"TakesAnAbsoluteUri",
       "GET http://server.example.com/?token=TOKEN HTTP/1.1",
       {kHost, kUpgrade, kConnection, kVersion, kKey}},
      {"TakesAnOriginAndCookies",
       kLine,
       {kHost, kUpgrade, kConnection, kVersion, kKey, "Origin: https://example.com",
        "Cookie: a=b; c=d", "User-Agent: x"}},
  };
}

std::vector<Request> refuses() {
  std::vector<Request> out = {
      {"RefusesAnotherMethod",
       "POST /?token=TOKEN HTTP/1.1",
       {kHost, kUpgrade, kConnection, kVersion, kKey},
       "426"},
      {"RefusesHttp10",
       "GET /?token=TOKEN HTTP/1.0",
       {kHost, kUpgrade, kConnection, kVersion, kKey},
       "426"},
      {"RefusesARequestWithoutUpgrade",
       kLine,
       {kHost, kConnection, kVersion, kKey},
       "426",
       "\r\nUpgrade: websocket\r\n"},
      {"RefusesAnotherUpgrade", kLine, {kHost, "Upgrade: h2c", kConnection, kVersion, kKey}, "426"},
      {"RefusesARequestWithoutConnection", kLine, {kHost, kUpgrade, kVersion, kKey}, "426"},
      {"RefusesConnectionClose",
       kLine,
       {kHost, kUpgrade, "Connection: close", kVersion, kKey},
       "426"},
      {"RefusesARequestWithABody",
       kLine,
       {kHost, kUpgrade, kConnection, kVersion, kKey, "Content-Length: 2"},
       "426"},
      {"RefusesARequestWithoutHost", kLine, {kUpgrade, kConnection, kVersion, kKey}, "400"},
      {"RefusesARequestWithTwoHosts",
       kLine,
       {kHost, kHost, kUpgrade, kConnection, kVersion, kKey},
       "400"},
      {"RefusesARequestWithoutAKey", kLine, {kHost, kUpgrade, kConnection, kVersion}, "401"},
  };
  // Section 4.4: the answer names the version that is spoken.
  for (const std::string version : {"0", "8", "12", "14", "013", "13.0", "x", ""})
    out.push_back({"RefusesVersion" + std::to_string(out.size()),
                   kLine,
                   {kHost, kUpgrade, kConnection, "Sec-WebSocket-Version: " + version, kKey},
                   "426",
                   "\r\nSec-WebSocket-Version: 13\r\n"});
  out.push_back({"RefusesARequestWithoutAVersion",
                 kLine,
                 {kHost, kUpgrade, kConnection, kKey},
                 "426",
                 "\r\nSec-WebSocket-Version: 13\r\n"});
  // Section 4.2.1 item 5: base64 of 16 bytes.
  for (const std::string key : {"", "dGhl", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ",
                                "dGhlIHNhbXBsZSBub25jZSE=", "dGhlIHNhbXBsZSBub25j*Q=="})
    out.push_back({"RefusesKey" + std::to_string(out.size()),
                   kLine,
                   {kHost, kUpgrade, kConnection, kVersion, "Sec-WebSocket-Key: " + key},
                   "401"});
  return out;
}

std::string claim_of(const ::testing::TestParamInfo<Request>& info) {
  return info.param.claim;
}

INSTANTIATE_TEST_SUITE_P(Opens, HandshakeTest, ::testing::ValuesIn(opens()), claim_of);
INSTANTIATE_TEST_SUITE_P(Refuses, HandshakeTest, ::testing::ValuesIn(refuses()), claim_of);

class ExtensionsTest : public NodeFixture {};

// Section 9.1: what the server does not accept is not in its answer.
TEST_F(ExtensionsTest, DeclinesExtensionsAndProtocolsThatItDoesNotSpeak) {
  start();
  WsClient client(node_->port());
  const std::string head = client.handshake("/?token=" + token({"r"}),
                                            "Sec-WebSocket-Extensions: x-unknown; a=\"b\", foo\r\n"
                                            "Sec-WebSocket-Protocol: chat\r\n");
  EXPECT_TRUE(head.starts_with("HTTP/1.1 101 ")) << head;
  EXPECT_EQ(head.find("Sec-WebSocket-Extensions"), std::string::npos) << head;
  EXPECT_EQ(head.find("Sec-WebSocket-Protocol"), std::string::npos) << head;
}

}  // namespace
}  // namespace raymesh::realtime
