// Where the parts of a connection meet: requests in pieces, clients that ask for more than they
// take, payloads that are written unusually.
#include <algorithm>

#include "raymesh/realtime/v1/socket.pb.h"
#include "tests/unit/realtime/node_fixture.hpp"

namespace raymesh::realtime {
namespace {

constexpr const char* kJson = "Sec-WebSocket-Protocol: raymesh.realtime.v1\r\n";
constexpr const char* kProto = "Sec-WebSocket-Protocol: raymesh.realtime.v1.proto\r\n";

class EdgesTest : public NodeFixture {
 protected:
  void rules(std::vector<std::string> texts) { config_.rules = ChannelRules::parse(texts).value(); }
  WsClient open(const std::vector<std::string>& channels, const char* protocol,
                int receive_buffer = 0) {
    WsClient client(node_->port(), receive_buffer);
    EXPECT_TRUE(
        client.handshake("/?token=" + token(channels), protocol).starts_with("HTTP/1.1 101 "));
    const auto welcome = client.receive();
    EXPECT_TRUE(welcome.has_value());
    return client;
  }
  static std::string ask(WsClient& client, const std::string& command) {
    client.send_text(command);
    return client.receive_text();
  }
  static bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  }
  /// Everything that was sent to the shard's sockets before has been read by it.
  void settle() { open({"settle"}, kJson); }
};

TEST_F(EdgesTest, ARequestMayComeInPieces) {
  config_.threads = 1;
  start();
  WsClient a(node_->port());
  const std::string request =
      "GET /?token=" + token({"c"}) +
      " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
      "Sec-WebSocket-Version: 13\r\n" +
      kJson + "\r\n";
  a.send_raw(request.substr(0, request.size() / 2));
  settle();
  // The first frame comes with the rest.
  a.send_raw(request.substr(request.size() / 2) +
             WsClient::frame(WsClient::Opcode::kText, R"({"type":"ping","id":5})"));
  EXPECT_TRUE(a.receive_head().starts_with("HTTP/1.1 101 "));
  EXPECT_TRUE(has(a.receive_text(), R"("type":"welcome")"));
  EXPECT_EQ(a.receive_text(), R"({"type":"pong","id":5})");
}

TEST_F(EdgesTest, WhatWasMissedMayBeMoreThanABacklog) {
  config_.limits.max_backlog_bytes = 64u << 10;
  rules({"* history=1000"});
  start();
  WsClient a = open({"c"}, kJson);
  const std::string subscribed = ask(a, R"({"type":"subscribe","id":1,"channel":"c"})");
  const std::string epoch = subscribed.substr(subscribed.find("\"epoch\":\"") + 9, 16);
  const std::string payload = '"' + std::string(8'000, 'x') + '"';
  for (int i = 0; i < 100; ++i) {
    publish("c", payload);
    a.receive();
  }
  WsClient stream(node_->port());
  stream.send_raw("GET /stream?channel=c&position=" + epoch + ":0&token=" + token({"c"}) +
                  " HTTP/1.1\r\nHost: x\r\n\r\n");
  std::string seen;
  while (std::count(seen.begin(), seen.end(), 'x') < 800'000) seen += stream.receive_raw();
  // A socket that takes little at a time.
  WsClient slow = open({"c"}, kJson, 4'096);
  const std::string back =
      ask(slow, R"({"type":"subscribe","id":1,"channel":"c","position":{"epoch":")" + epoch +
                    R"(","offset":0}})");
  EXPECT_TRUE(has(back, R"("recovered":true)")) << back;
  size_t got = 0;
  while (got < 800'000) got += slow.receive_text().size();
}

TEST_F(EdgesTest, SpaceAroundAPayloadIsNotPartOfIt) {
  rules({"* slow=conflate conflate-key=k"});
  start();
  WsClient a = open({"c"}, kProto);
  v1::ClientFrame frame;
  frame.add_commands()->mutable_subscribe()->set_channel("c");
  a.send(WsClient::Opcode::kBinary, frame.SerializeAsString());
  auto next = [&a] {
    const auto received = a.receive();
    v1::ServerFrame events;
    EXPECT_TRUE(received && events.ParseFromString(received->payload));
    return events.events_size() > 0 ? events.events(0) : v1::Event();
  };
  EXPECT_TRUE(next().has_subscribed());
  auto& command = *frame.mutable_commands(0)->mutable_publish();
  command.set_channel("c");
  command.set_payload_json("{\"k\":1}\n");
  a.send(WsClient::Opcode::kBinary, frame.SerializeAsString());
  const v1::Event event = next();
  ASSERT_TRUE(event.has_messages());
  EXPECT_EQ(event.messages().payloads_json(0), "{\"k\":1}");
}

TEST_F(EdgesTest, AMessageHasAtMostAHundredCommands) {
  start();
  WsClient a = open({"c"}, kProto);
  v1::ClientFrame frame;
  for (int i = 0; i < 100; ++i) frame.add_commands()->mutable_ping();
  auto answer = [&] {
    a.send(WsClient::Opcode::kBinary, frame.SerializeAsString());
    v1::ServerFrame events;
    const auto received = a.receive();
    EXPECT_TRUE(received && events.ParseFromString(received->payload));
    return events.events_size() > 0 ? events.events(0) : v1::Event();
  };
  EXPECT_TRUE(answer().has_pong());
  for (int i = 1; i < 100; ++i) EXPECT_TRUE(a.receive());
  frame.add_commands();
  EXPECT_NE(answer().error().error().find("100 commands"), std::string::npos);
}

TEST_F(EdgesTest, RubbishCountsAgainstTheRate) {
  config_.limits.publish_rate = 5;
  start();
  for (const char* rubbish : {"{", "[]"}) {
    WsClient a = open({"c"}, kJson);
    for (int i = 0; i < 10; ++i) a.send_text(rubbish);
    EXPECT_EQ(a.receive_close(), 4429);
  }
}

TEST_F(EdgesTest, OnlyAFewReadsOfOneConnectionAreUnderWay) {
  rules({"* history=10"});
  start();
  publish("c", "1");
  WsClient a = open({"c"}, kJson);
  for (const char* type : {"history", "presence"}) {
    std::string many = "[";
    for (int i = 1; i <= 100; ++i)
      many += R"({"type":")" + std::string(type) + R"(","channel":"c","id":)" + std::to_string(i) +
              "},";
    many.back() = ']';
    a.send_text(many);
    int refused = 0;
    for (int i = 0; i < 100; ++i) refused += has(a.receive_text(), R"("code":"overloaded")");
    EXPECT_GT(refused, 50);
    EXPECT_FALSE(has(ask(a, R"({"type":")" + std::string(type) + R"(","channel":"c"})"), "error"));
  }
}

}  // namespace
}  // namespace raymesh::realtime
