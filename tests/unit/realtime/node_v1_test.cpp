// raymesh.realtime.v1 over real sockets: subscribing, positions, recovery, presence, tokens.
#include <algorithm>
#include <set>
#include <thread>

#include "raymesh/realtime/v1/socket.pb.h"
#include "tests/unit/realtime/node_fixture.hpp"

namespace raymesh::realtime {
namespace {

constexpr const char* kProtocol = "Sec-WebSocket-Protocol: raymesh.realtime.v1\r\n";

class V1Test : public NodeFixture {
 protected:
  void rules(std::vector<std::string> texts) { config_.rules = ChannelRules::parse(texts).value(); }
  std::string grant_token(std::vector<ChannelGrant> grants, const std::string& identity = {},
                          uint32_t ttl = 600) {
    Grant grant;
    grant.project = kProject;
    grant.grants = std::move(grants);
    grant.identity = identity;
    return tokens_.mint(std::move(grant), ttl, crypto::jwt::unix_now()).value();
  }
  WsClient open(const std::string& token, const char* protocol = kProtocol) {
    WsClient client(node_->port());
    const std::string answer = client.handshake("/?token=" + token, protocol);
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 101 ")) << answer;
    return client;
  }
  /// Open, and past the welcome.
  WsClient v1_with(const std::string& token) {
    WsClient client = open(token);
    EXPECT_NE(client.receive_text().find(R"("type":"welcome")"), std::string::npos);
    return client;
  }
  WsClient v1(std::vector<std::string> channels, const std::string& identity = {}) {
    return v1_with(token(std::move(channels), identity));
  }
  /// The value of a member that is written once.
  static std::string member(const std::string& event, const std::string& name) {
    const std::string key = '"' + name + "\":";
    size_t at = event.find(key);
    if (at == std::string::npos) return {};
    at += key.size();
    const bool quoted = event[at] == '"';
    const size_t begin = quoted ? at + 1 : at;
    return event.substr(begin, event.find_first_of(quoted ? "\"" : ",}", begin) - begin);
  }
  static std::string ask(WsClient& client, const std::string& command) {
    client.send_text(command);
    return client.receive_text();
  }
};

TEST_F(V1Test, WelcomesWithTheConnectionsIdAndSubscribesToNothing) {
  start();
  WsClient client = open(token({"a"}));
  const std::string welcome = client.receive_text();
  EXPECT_EQ(member(welcome, "type"), "welcome");
  EXPECT_EQ(member(welcome, "max_message_bytes"), "65536");
  EXPECT_EQ(presence("a"), "[]");
  EXPECT_EQ(member(ask(client, R"({"type":"subscribe","id":1,"channel":"a"})"), "type"),
            "subscribed");
  EXPECT_EQ(presence("a"), R"([{"id":")" + member(welcome, "connection") + R"("}])");
}

TEST_F(V1Test, MessagesHaveOffsetsThatRiseByOneAndThePublisherGetsItsOwn) {
  start();
  WsClient a = v1({"c"});
  WsClient b = v1({"c"});
  const std::string subscribed = ask(a, R"({"type":"subscribe","id":1,"channel":"c"})");
  EXPECT_EQ(member(subscribed, "id"), "1");
  EXPECT_EQ(member(subscribed, "offset"), "0");
  const std::string epoch = member(subscribed, "epoch");
  EXPECT_EQ(epoch.size(), 16u);
  EXPECT_EQ(subscribed.find("recovered"), std::string::npos);
  ask(b, R"({"type":"subscribe","id":1,"channel":"c"})");
  a.send_text(R"({"type":"publish","id":7,"channel":"c","payload":{"x": 1}})");
  EXPECT_EQ(b.receive_text(), R"({"type":"message","channel":"c","offset":1,"payload":{"x": 1}})");
  std::vector<std::string> events{a.receive_text(), a.receive_text()};
  std::sort(events.begin(), events.end());
  EXPECT_EQ(events[0], R"({"type":"message","channel":"c","offset":1,"payload":{"x": 1}})");
  EXPECT_EQ(events[1], R"({"type":"published","id":7,"channel":"c","epoch":")" + epoch +
                           R"(","offset":1,"delivered":2})");
  EXPECT_EQ(publish("c", "2"), 2u);
  EXPECT_EQ(b.receive_text(), R"({"type":"message","channel":"c","offset":2,"payload":2})");
}

TEST_F(V1Test, SeveralMessagesOfOneReadAreOneFrame) {
  start();
  WsClient a = v1({"c"});
  WsClient b = v1({"c"});
  ask(b, R"({"type":"subscribe","id":1,"channel":"c"})");
  a.send_text(R"([{"type":"publish","channel":"c","payload":1},{"type":"publish","channel":"c"},)"
              R"({"type":"publish","id":9,"channel":"c","payload":"x"}])");
  EXPECT_EQ(b.receive_text(),
            R"({"type":"messages","channel":"c","offset":1,"payloads":[1,null,"x"]})");
  const std::string ack = a.receive_text();
  EXPECT_EQ(member(ack, "offset"), "3");
  EXPECT_EQ(member(ack, "delivered"), "1");
}

TEST_F(V1Test, AClientThatComesBackGetsExactlyWhatItMissed) {
  rules({"c* history=10"});
  start();
  WsClient a = v1({"c"});
  const std::string epoch = member(ask(a, R"({"type":"subscribe","id":1,"channel":"c"})"), "epoch");
  for (int i = 1; i <= 5; ++i) publish("c", std::to_string(i));
  for (int i = 1; i <= 5; ++i) a.receive_text();
  auto back = [&](const std::string& at, uint64_t offset) {
    WsClient client = v1({"c"});
    const std::string answer =
        ask(client, R"({"type":"subscribe","id":1,"channel":"c","position":{"epoch":")" + at +
                        R"(","offset":)" + std::to_string(offset) + "}}");
    return std::make_pair(std::move(client), answer);
  };
  auto [b, answer] = back(epoch, 2);
  EXPECT_EQ(member(answer, "recovered"), "true");
  EXPECT_EQ(member(answer, "offset"), "2");
  EXPECT_EQ(b.receive_text(), R"({"type":"messages","channel":"c","offset":3,"payloads":[3,4,5]})");
  publish("c", "6");
  EXPECT_EQ(b.receive_text(), R"({"type":"message","channel":"c","offset":6,"payload":6})");
  auto [latest, all] = back(epoch, 6);
  EXPECT_EQ(member(all, "recovered"), "true");
  EXPECT_TRUE(latest.is_silent_for(std::chrono::milliseconds(50)));
  // Another epoch, an offset of the future, and what is kept no more.
  for (const auto& [at, offset] : {std::make_pair(std::string(16, '1'), 6), {epoch, 7}, {"x", 1}}) {
    auto [client, no] = back(at, static_cast<uint64_t>(offset));
    EXPECT_EQ(member(no, "recovered"), "false");
    EXPECT_EQ(member(no, "offset"), "6");
    EXPECT_TRUE(client.is_silent_for(std::chrono::milliseconds(20)));
  }
  for (int i = 7; i <= 20; ++i) publish("c", std::to_string(i));
  EXPECT_EQ(member(back(epoch, 9).second, "recovered"), "false");
  EXPECT_EQ(member(back(epoch, 10).second, "recovered"), "true");
}

TEST_F(V1Test, HistoryOutlivesItsSubscribersUntilItExpires) {
  rules({"c* history=10 history-ttl=1s"});
  start();
  EXPECT_EQ(publish("c", "1"), 0u);
  EXPECT_EQ(publish("c", "2"), 0u);
  EXPECT_EQ(node_->channels(), 1u);
  WsClient a = v1({"c"});
  const std::string page = ask(a, R"({"type":"history","id":3,"channel":"c"})");
  EXPECT_NE(page.find(R"("messages":[{"offset":1,"payload":1},{"offset":2,"payload":2}])"),
            std::string::npos)
      << page;
  EXPECT_EQ(member(page, "offset"), "2");
  const std::string next =
      ask(a, R"({"type":"history","id":4,"channel":"c","limit":1,"position":{"epoch":")" +
                 member(page, "epoch") + R"(","offset":1}})");
  EXPECT_NE(next.find(R"("messages":[{"offset":2,"payload":2}])"), std::string::npos) << next;
  eventually([&] { return node_->channels() == 0; });
}

TEST_F(V1Test, WithoutHistoryOnlyWhoMissedNothingIsRecovered) {
  start();
  WsClient a = v1({"c"});
  const std::string epoch = member(ask(a, R"({"type":"subscribe","id":1,"channel":"c"})"), "epoch");
  publish("c", "1");
  auto recovered = [&](int offset) {
    WsClient b = v1({"c"});
    return member(ask(b, R"({"type":"subscribe","channel":"c","position":{"epoch":")" + epoch +
                             R"(","offset":)" + std::to_string(offset) + "}}"),
                  "recovered");
  };
  EXPECT_EQ(recovered(1), "true");
  EXPECT_EQ(recovered(0), "false");
}

TEST_F(V1Test, TellsOfMembersThatComeAndGo) {
  start();
  WsClient a = v1({"c"}, "ada");
  ask(a, R"({"type":"subscribe","id":1,"channel":"c","presence":true})");
  EXPECT_EQ(member(a.receive_text(), "type"), "join");  // its own
  {
    WsClient b = v1({"c"}, "bob");
    ask(b, R"({"type":"subscribe","id":1,"channel":"c","data":{"n":1}})");
    const std::string join = a.receive_text();
    EXPECT_EQ(member(join, "type"), "join");
    EXPECT_NE(join.find(R"("identity":"bob","data":{"n":1}})"), std::string::npos) << join;
    EXPECT_TRUE(b.is_silent_for(std::chrono::milliseconds(20)));
    const std::string page = ask(b, R"({"type":"presence","id":2,"channel":"c","limit":1})");
    EXPECT_EQ(member(page, "count"), "2");
    EXPECT_EQ(member(page, "identities"), "2");
    const std::string next =
        ask(b, R"({"type":"presence","id":3,"channel":"c","limit":1,"cursor":")" +
                   member(page, "next") + "\"}");
    EXPECT_EQ(member(next, "next"), "");
    EXPECT_NE(member(page, "identity"), member(next, "identity"));
    // An old client comes and goes with the same events.
    WsClient c = connect({"c"}, "carl");
    EXPECT_EQ(member(a.receive_text(), "identity"), "carl");
  }
  std::vector<std::string> left;
  for (int i = 0; i < 2; ++i) {
    const std::string leave = a.receive_text();
    EXPECT_EQ(member(leave, "type"), "leave");
    left.push_back(member(leave, "identity"));
  }
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<std::string>{"bob", "carl"}));
}

TEST_F(V1Test, WhatIsPublishedToNobodyHasAPlaceOfItsOwn) {
  start();
  WsClient a = v1({"c"});
  std::set<std::string> epochs;
  for (int i = 0; i < 3; ++i) {
    const std::string published = ask(a, R"({"type":"publish","id":1,"channel":"c","payload":1})");
    EXPECT_EQ(member(published, "delivered"), "0");
    EXPECT_EQ(member(published, "offset"), "1");
    EXPECT_EQ(member(published, "epoch").size(), 16u) << published;
    epochs.insert(member(published, "epoch"));
  }
  EXPECT_EQ(epochs.size(), 3u) << "no offset comes twice in an epoch";
  const std::string history = ask(a, R"({"type":"history","id":2,"channel":"c"})");
  EXPECT_EQ(member(history, "offset"), "0");
  EXPECT_EQ(member(history, "epoch").size(), 16u) << history;
}

TEST_F(V1Test, KeepsToWhatTheTokenAllows) {
  start();
  const std::string t = grant_token(
      {{"room:*", kSubscribe | kPresence}, {"log", kPublish}, {"news", kSubscribe | kHistory}});
  WsClient a = v1_with(t);
  auto code = [&](const std::string& command) { return member(ask(a, command), "code"); };
  EXPECT_EQ(code(R"({"type":"subscribe","channel":"room:1"})"), "");
  EXPECT_EQ(code(R"({"type":"publish","channel":"room:1"})"), "permission_denied");
  EXPECT_EQ(code(R"({"type":"history","channel":"room:1"})"), "permission_denied");
  EXPECT_EQ(code(R"({"type":"subscribe","channel":"room"})"), "permission_denied");
  EXPECT_EQ(code(R"({"type":"subscribe","channel":"log"})"), "permission_denied");
  EXPECT_EQ(code(R"({"type":"publish","id":1,"channel":"log"})"), "");
  EXPECT_EQ(code(R"({"type":"subscribe","channel":"news","presence":true})"), "permission_denied");
  EXPECT_EQ(code(R"({"type":"subscribe","channel":""})"), "invalid_channel");
  EXPECT_EQ(code(R"({"type":"subscribe","channel":"room:1"})"), "already_subscribed");
  EXPECT_EQ(code(R"({"type":"unsubscribe","channel":"room:2"})"), "not_subscribed");
  // The default frames keep to it as well, and subscribe to names alone.
  WsClient b = WsClient::open(node_->port(), "/?token=" + t);
  EXPECT_EQ(presence("news").find("[{"), 0u);
  b.send_text(publish_frame("news", "1"));
  EXPECT_TRUE(b.is_silent_for(std::chrono::milliseconds(20)));
  EXPECT_EQ(metric("raymesh_realtime_messages_ignored_total"), 1);
}

TEST_F(V1Test, AnswersRubbishWithAnErrorAndStaysOpen) {
  config_.limits.max_connection_channels = 2;
  start();
  WsClient a = v1({"a", "b", "c"});
  auto code = [&](const std::string& command) { return member(ask(a, command), "code"); };
  EXPECT_EQ(code("nonsense"), "invalid_json");
  EXPECT_EQ(code("7"), "invalid_request");
  EXPECT_EQ(code(R"({"type":"dance"})"), "invalid_request");
  EXPECT_EQ(code(R"({"id":1})"), "invalid_request");
  EXPECT_EQ(code(R"({"type":"subscribe","id":-1,"channel":"a"})"), "invalid_request");
  EXPECT_EQ(code(R"({"type":"subscribe","channel":7})"), "invalid_request");
  EXPECT_EQ(code(R"({"type":"subscribe","channel":"a","position":{}})"), "invalid_request");
  EXPECT_EQ(code(R"({"type":"subscribe","channel":"a","data":")" + std::string(2'000, 'x') + "\"}"),
            "invalid_request");
  std::string many = "[";
  for (int i = 0; i < 101; ++i) many += R"({"type":"ping"},)";
  many.back() = ']';
  EXPECT_EQ(code(many), "invalid_request");
  EXPECT_EQ(code(R"({"type":"subscribe","channel":"a"})"), "");
  EXPECT_EQ(code(R"({"type":"subscribe","channel":"b"})"), "");
  EXPECT_EQ(code(R"({"type":"subscribe","channel":"c"})"), "too_many_subscriptions");
  EXPECT_EQ(ask(a, R"({"type":"ping","id":5})"), R"({"type":"pong","id":5})");
  a.send(WsClient::Opcode::kBinary, "x");
  EXPECT_EQ(a.receive_close(), 1008);
}

TEST_F(V1Test, UnsubscribingAndSubscribingAgainKeepsTheOthersApart) {
  start();
  WsClient a = v1({"a", "b", "c"});
  for (const char* name : {"c", "a", "b"})
    ask(a, R"({"type":"subscribe","channel":")" + std::string(name) + "\"}");
  EXPECT_EQ(ask(a, R"({"type":"unsubscribe","id":2,"channel":"b"})"),
            R"({"type":"unsubscribed","id":2,"channel":"b"})");
  EXPECT_EQ(publish("b", "1"), 0u);
  EXPECT_EQ(publish("c", "2"), 1u);
  EXPECT_EQ(member(a.receive_text(), "channel"), "c");
  // Leaving and coming back in one message must not lose what lies between.
  a.send_text(
      R"([{"type":"unsubscribe","channel":"c"},{"type":"subscribe","id":4,"channel":"c"}])");
  EXPECT_EQ(member(a.receive_text(), "type"), "subscribed");
  EXPECT_EQ(publish("c", "3"), 1u);
  EXPECT_EQ(member(a.receive_text(), "payload"), "3");
  ask(a, R"({"type":"subscribe","channel":"b"})");
  EXPECT_EQ(publish("a", "4"), 1u);
  EXPECT_EQ(member(a.receive_text(), "channel"), "a");
}

TEST_F(V1Test, ATokenIsRefreshedInBand) {
  start();
  WsClient a = v1_with(token({"a", "b"}, "ada", 5));
  EXPECT_EQ(member(ask(a, R"({"type":"subscribe","channel":"a"})"), "type"), "subscribed");
  EXPECT_EQ(member(ask(a, R"({"type":"subscribe","channel":"b"})"), "type"), "subscribed");
  EXPECT_EQ(member(ask(a, R"({"type":"refresh","id":1,"token":"no"})"), "code"), "invalid_token");
  const std::string bob = R"({"type":"refresh","id":1,"token":")" + token({"a"}, "bob") + "\"}";
  EXPECT_EQ(member(ask(a, bob), "code"), "invalid_token");
  const std::string narrower =
      R"({"type":"refresh","id":2,"token":")" + token({"a"}, "ada", 600) + "\"}";
  EXPECT_EQ(ask(a, narrower), R"({"type":"unsubscribed","channel":"b","reason":"not_granted"})");
  const std::string refreshed = a.receive_text();
  EXPECT_EQ(member(refreshed, "type"), "refreshed");
  EXPECT_GT(std::stoll(member(refreshed, "expires_at")), crypto::jwt::unix_now() + 500);
}

TEST_F(V1Test, SaysBeforehandWhenATokenEnds) {
  start();
  WsClient a = v1_with(token({"a"}, {}, 4));
  EXPECT_EQ(member(a.receive_text(), "type"), "expiring");
  EXPECT_EQ(a.receive_close(), 4401);
}

TEST_F(V1Test, DefaultFramesAreRefreshedToo) {
  start();
  WsClient a = connect({"a", "b"}, "ada");
  a.send_text(R"({"type":"refresh","token":")" + token({"b", "c"}, "ada") + "\"}");
  EXPECT_EQ(member(a.receive_text(), "type"), "refreshed");
  eventually([&] { return presence("c") != "[]"; });
  EXPECT_EQ(publish("a", "1"), 0u);
  EXPECT_EQ(publish("b", "2"), 1u);
  EXPECT_EQ(a.receive_text(), message("b", "2"));
  EXPECT_EQ(publish("c", "3"), 1u);
  EXPECT_EQ(a.receive_text(), message("c", "3"));
  a.send_text(R"({"type":"refresh","token":"no"})");
  EXPECT_EQ(a.receive_close(), 4401);
}

TEST_F(V1Test, SpeaksProtobufInBinaryFrames) {
  start();
  WsClient a = open(token({"c"}), "Sec-WebSocket-Protocol: raymesh.realtime.v1.proto\r\n");
  auto receive = [&a] {
    const auto frame = a.receive();
    EXPECT_EQ(frame->opcode, WsClient::Opcode::kBinary);
    v1::ServerFrame out;
    EXPECT_TRUE(out.ParseFromString(frame->payload));
    EXPECT_EQ(out.events_size(), 1);
    return out.events(0);
  };
  EXPECT_TRUE(receive().has_welcome());
  v1::ClientFrame frame;
  v1::Command& subscribe = *frame.add_commands();
  subscribe.set_id(1);
  subscribe.mutable_subscribe()->set_channel("c");
  a.send(WsClient::Opcode::kBinary, frame.SerializeAsString());
  EXPECT_EQ(receive().subscribed().channel(), "c");
  frame.clear_commands();
  for (int i = 0; i < 3; ++i) {
    auto& publish = *frame.add_commands()->mutable_publish();
    publish.set_channel("c");
    publish.set_payload_json(std::to_string(i));
  }
  frame.mutable_commands(2)->mutable_publish()->set_payload_json("not json");
  a.send(WsClient::Opcode::kBinary, frame.SerializeAsString());
  EXPECT_EQ(receive().error().code(), "invalid_request");
  const v1::Event messages = receive();
  EXPECT_EQ(messages.messages().offset(), 1u);
  ASSERT_EQ(messages.messages().payloads_json_size(), 2);
  EXPECT_EQ(messages.messages().payloads_json(1), "1");
  a.send(WsClient::Opcode::kBinary, "\xff\xff");
  EXPECT_EQ(receive().error().code(), "invalid_request");
}

}  // namespace
}  // namespace raymesh::realtime
