// A node that offers permessage-deflate (RFC 7692), with clients that have agreed to it and others
// that have not.
#include "tests/unit/net/websocket/client_frame.hpp"
#include "tests/unit/realtime/node_fixture.hpp"

namespace raymesh::realtime {
namespace {

using net::websocket::raw_client_frame;
using Opcode = net::websocket::Opcode;

const std::string kOffer =
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

class DeflateNodeTest : public NodeFixture {
 protected:
  DeflateNodeTest() { config_.limits.compression = true; }

  WsClient connect_deflate(std::vector<std::string> channels) {
    WsClient client(node_->port());
    head_ = client.handshake("/?token=" + token(std::move(channels)), kOffer);
    EXPECT_TRUE(head_.starts_with("HTTP/1.1 101 ")) << head_;
    return client;
  }
  static std::string large(const std::string& word, size_t times = 100) {
    std::string out = "\"";
    for (size_t i = 0; i < times; ++i) out += word + std::to_string(i);
    return out + '"';
  }
  static void expect_frame(WsClient& client, const std::string& text, bool compressed) {
    const auto frame = client.receive();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->opcode, Opcode::kText);
    EXPECT_EQ(frame->payload, text);
    EXPECT_EQ(frame->compressed, compressed);
  }

  std::string head_;
};

TEST_F(DeflateNodeTest, AgreesOnOneSetOfParameters) {
  start();
  auto client = connect_deflate({"r"});
  EXPECT_TRUE(client.deflate);
  EXPECT_NE(head_.find("\r\nSec-WebSocket-Extensions: permessage-deflate; "
                       "server_no_context_takeover; client_no_context_takeover\r\n"),
            std::string::npos)
      << head_;
}

TEST_F(DeflateNodeTest, IsOffUnlessItIsSwitchedOn) {
  config_.limits = NodeLimits{};
  start();
  auto client = connect_deflate({"r"});
  EXPECT_FALSE(client.deflate) << head_;
  client.send_compressed(publish_frame("r", large("x")));
  EXPECT_EQ(client.receive_close(), 1002);
}

TEST_F(DeflateNodeTest, RefusesAMalformedHeader) {
  start();
  WsClient client(node_->port());
  EXPECT_EQ(
      client
          .handshake("/?token=" + token({"r"}), "Sec-WebSocket-Extensions: permessage-deflate;\r\n")
          .substr(0, 13),
      "HTTP/1.1 400 ");
}

TEST_F(DeflateNodeTest, ServesThoseWhoAgreedAndThoseWhoDidNot) {
  start();
  auto plain = connect({"r"});
  auto small = connect_deflate({"r"});
  auto other = connect_deflate({"r"});
  const std::string payload = large("word");
  plain.send_text(publish_frame("r", payload));
  expect_frame(small, message("r", payload), true);
  expect_frame(other, message("r", payload), true);
  small.send_compressed(publish_frame("r", payload));
  expect_frame(plain, message("r", payload), false);
  expect_frame(other, message("r", payload), true);
  // A short one stays plain for everybody, and who publishes does not get its own.
  other.send_text(publish_frame("r", "1"));
  expect_frame(plain, message("r", "1"), false);
  expect_frame(small, message("r", "1"), false);
  publish("r", "2");
  expect_frame(small, message("r", "2"), false);
  expect_frame(other, message("r", "2"), false);
}

TEST_F(DeflateNodeTest, AllSeeOneOrder) {
  start();
  auto plain = connect({"r"});
  auto small = connect_deflate({"r"});
  auto sender = connect_deflate({"r"});
  constexpr int kMessages = 500;
  for (int i = 0; i < kMessages; ++i) {
    const std::string payload = i % 3 == 0 ? std::to_string(i) : large(std::to_string(i) + "-");
    if (i % 2 == 0 && i % 3 != 0) {
      sender.send_compressed(publish_frame("r", payload));
    } else {
      sender.send_text(publish_frame("r", payload));
    }
  }
  for (int i = 0; i < kMessages; ++i) {
    const std::string payload = i % 3 == 0 ? std::to_string(i) : large(std::to_string(i) + "-");
    ASSERT_EQ(plain.receive_text(), message("r", payload));
    ASSERT_EQ(small.receive_text(), message("r", payload));
  }
}

TEST_F(DeflateNodeTest, ClosesWhatDoesNotOpen) {
  start();
  const std::vector<std::pair<std::string, int>> cases = {
      {raw_client_frame(0xc1, "\xff\xff\xff"), 1007},                  // no DEFLATE
      {raw_client_frame(0xc1, std::string("\xf2\x48\xcd", 3)), 1007},  // cut off
      {raw_client_frame(0xc1, ""), 1007},
      {raw_client_frame(0xa1, "x"), 1002},  // RSV2 was not agreed on
      {raw_client_frame(0xc9, "x"), 1002},  // a compressed ping
      {raw_client_frame(0x41, "x") + raw_client_frame(0xc0, "y"), 1002},
  };
  for (const auto& [bytes, code] : cases) {
    auto client = connect_deflate({"r"});
    client.send_raw(bytes);
    EXPECT_EQ(client.receive_close(), code);
  }
}

TEST_F(DeflateNodeTest, StopsABombAtTheLargestMessage) {
  start();
  auto other = connect({"r"});
  auto client = connect_deflate({"r"});
  client.send_compressed(std::string(32u << 20, ' '));
  EXPECT_EQ(client.receive_close(), 1009);
  auto fits = connect_deflate({"r"});
  const std::string empty = publish_frame("r", R"("")");
  const std::string payload =
      '"' + std::string(config_.limits.max_message_bytes - empty.size(), 'x') + '"';
  fits.send_compressed(publish_frame("r", payload));
  EXPECT_EQ(other.receive_text(), message("r", payload));
}

}  // namespace
}  // namespace raymesh::realtime
