// What goes beyond one WebSocket: HTTP streams, revoking, slow readers of channels that may leave
// messages out, and limits.
#include <thread>

#include "tests/unit/realtime/node_fixture.hpp"

namespace raymesh::realtime {
namespace {

class StreamTest : public NodeFixture {
 protected:
  void rules(std::vector<std::string> texts) { config_.rules = ChannelRules::parse(texts).value(); }

  /// A client that has sent a GET; what comes is read with `until`.
  struct Stream {
    WsClient client;
    std::string seen;

    /// Reads until the text has come, and returns everything up to and with it.
    std::string until(const std::string& text) {
      size_t at;
      while ((at = seen.find(text)) == std::string::npos) seen += client.receive_raw();
      std::string out = seen.substr(0, at + text.size());
      seen.erase(0, at + text.size());
      return out;
    }
  };
  Stream get(const std::string& target, const std::string& headers = {}) {
    Stream stream{WsClient(node_->port()), {}};
    stream.client.send_raw("GET " + target + " HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n");
    return stream;
  }
  std::string revoke(Revocation::By by, const std::string& value) {
    Revocation revocation;
    revocation.project = kProject;
    revocation.by = by;
    revocation.value = value;
    revocation.issued_by = crypto::jwt::unix_now();
    revocation.keep_until = revocation.issued_by + 3'600;
    const auto report =
        await<RevokeReport>([&](auto done) { node_->revoke(revocation, std::move(done)); });
    return std::to_string(report.closed) + " on " + std::to_string(report.nodes);
  }
};

TEST_F(StreamTest, AnEventStreamGoesOnWhereTheLastOneEnded) {
  rules({"c* history=10"});
  start();
  std::string id;
  {
    Stream s = get("/sse?token=" + token({"c"}));
    const std::string head = s.until("\r\n\r\n");
    EXPECT_TRUE(head.starts_with("HTTP/1.1 200 OK\r\n"));
    EXPECT_NE(head.find("Content-Type: text/event-stream\r\n"), std::string::npos);
    EXPECT_NE(head.find("Access-Control-Allow-Origin: *\r\n"), std::string::npos);
    EXPECT_NE(s.until("\n\n").find(R"("type":"subscribed")"), std::string::npos);
    EXPECT_EQ(publish("c", "{\n\"a\": 1}"), 1u);
    const std::string event = s.until("\n\n");
    EXPECT_NE(event.find("\ndata: {\"type\":\"message\",\"channel\":\"c\",\"offset\":1,\"payload\":"
                         "{ \"a\": 1}}\n\n"),
              std::string::npos)
        << event;
    id = event.substr(4, event.find('\n') - 4);
  }
  eventually([&] { return node_->connections() == 0; });
  publish("c", "2");
  publish("c", "3");
  Stream s = get("/sse?token=" + token({"c"}), "Last-Event-ID: " + id + "\r\n");
  s.until("\r\n\r\n");
  EXPECT_NE(s.until("\n\n").find(R"("recovered":true)"), std::string::npos);
  EXPECT_NE(s.until("\n\n").find(R"("offset":2,"payloads":[2,3])"), std::string::npos);
  publish("c", "4");
  EXPECT_NE(s.until("\n\n").find(R"("offset":4,"payload":4)"), std::string::npos);
}

TEST_F(StreamTest, AStreamOfSeveralChannelsTellsWhereItStands) {
  rules({"* history=10"});
  start();
  std::string id;
  {
    Stream s = get("/sse?channel=b&channel=a&token=" + token({"a", "b", "c"}));
    s.until("\n\nid: ");
    id = s.until("\n\n");
    EXPECT_EQ(publish("c", "0"), 0u);
    EXPECT_EQ(publish("b", "1"), 1u);
    s.until("\n\nid: ");
    id = s.until("\n\n");
    id.resize(id.size() - 2);
  }
  eventually([&] { return node_->connections() == 0; });
  publish("a", "2");
  publish("b", "3");
  Stream s = get("/sse?channel=a&channel=b&position=" + id + "&token=" + token({"a", "b"}));
  const std::string seen = s.until("\n\nid: ");
  EXPECT_NE(seen.find(R"("channel":"a","offset":1,"payload":2)"), std::string::npos) << seen;
  EXPECT_NE(seen.find(R"("channel":"b","offset":2,"payload":3)"), std::string::npos) << seen;
  EXPECT_EQ(seen.find(R"("payload":1)"), std::string::npos) << seen;
}

TEST_F(StreamTest, AStreamThatHasLostAChannelGoesOnWithTheOthers) {
  rules({"* history=10"});
  start();
  const std::string target = "/sse?token=" + token({"a", "b", "c"});
  std::string id;
  {
    Stream s = get(target);
    s.until("\n\nid: ");
    s.until("\n\n");
    EXPECT_EQ(revoke(Revocation::By::kChannel, "a"), "1 on 1");
    s.until(R"("reason":"revoked"})");
    EXPECT_EQ(publish("c", "1"), 1u);
    s.until("\n\nid: ");
    id = s.until("\n\n");
    id.resize(id.size() - 2);
  }
  publish("c", "2");
  Stream s = get(target, "Last-Event-ID: " + id + "\r\n");
  const std::string seen = s.until("\n\nid: ");
  EXPECT_EQ(seen.find(R"("recovered":false)"), std::string::npos) << seen;
  EXPECT_NE(seen.find(R"("channel":"c","offset":2,"payload":2)"), std::string::npos) << seen;
  EXPECT_EQ(seen.find(R"("channel":"a")"), std::string::npos) << seen;
}

TEST_F(StreamTest, ATokenIsRevokedWhateverTheClockOfItsNodeSaid) {
  start();
  Grant grant;
  grant.project = kProject;
  grant.channels = {"c"};
  const std::string t = tokens_.mint(grant, 600, crypto::jwt::unix_now() + 1).value();
  const std::string jti = tokens_.verify(t, crypto::jwt::unix_now() + 1)->id;
  Stream s = get("/stream?token=" + t);
  s.until("\r\n\r\n");
  s.until("\n");
  EXPECT_EQ(revoke(Revocation::By::kTokenId, jti), "1 on 1");
  EXPECT_NE(get("/stream?token=" + t).until("\r\n\r\n").find(" 401 "), std::string::npos);
}

TEST_F(StreamTest, LinesAreOneEventEachAndEndWithTheReason) {
  start();
  Stream s = get("/stream?token=" + token({"c"}, "ada"));
  EXPECT_NE(s.until("\r\n\r\n").find("application/x-ndjson"), std::string::npos);
  EXPECT_NE(s.until("\n").find(R"("type":"subscribed")"), std::string::npos);
  publish("c", "\"x\"");
  EXPECT_EQ(s.until("\n"), R"({"type":"message","channel":"c","offset":1,"payload":"x"})"
                           "\n");
  EXPECT_EQ(presence("c").find(R"("identity":"ada")") == std::string::npos, false);
  EXPECT_EQ(revoke(Revocation::By::kIdentity, "ada"), "1 on 1");
  EXPECT_EQ(s.until("\n"), R"({"type":"closed","code":4503,"reason":"revoked"})"
                           "\n");
  EXPECT_EQ(s.client.read_to_end(), "");
}

TEST_F(StreamTest, AStreamIsRefusedLikeAWebSocket) {
  start();
  EXPECT_NE(get("/sse?token=no").until("\r\n\r\n").find(" 401 "), std::string::npos);
  EXPECT_NE(get("/sse?channel=x&token=" + token({"c"})).until("}").find("permission_denied"),
            std::string::npos);
  EXPECT_NE(get("/other?token=" + token({"c"})).until("\r\n\r\n").find(" 426 "), std::string::npos);
}

TEST_F(StreamTest, ARevokedTokenClosesItsSocketsAndOpensNoOther) {
  start();
  const std::string t = token({"c"}, "ada");
  const std::string jti = tokens_.verify(t, crypto::jwt::unix_now()).value().id;
  WsClient a = WsClient::open(node_->port(), "/?token=" + t);
  WsClient other = connect({"c"}, "ada");
  EXPECT_EQ(revoke(Revocation::By::kTokenId, jti), "1 on 1");
  EXPECT_EQ(a.receive_close(), 4503);
  WsClient again(node_->port());
  EXPECT_NE(again.handshake("/?token=" + t).find(" 401 "), std::string::npos);
  EXPECT_EQ(publish("c", "1"), 1u);
  EXPECT_EQ(other.receive_text(), message("c", "1"));
  EXPECT_EQ(revoke(Revocation::By::kChannel, "c"), "1 on 1");
  EXPECT_EQ(other.receive_close(), 4503);
  EXPECT_EQ(revoke(Revocation::By::kIdentity, "nobody"), "0 on 1");
}

TEST_F(StreamTest, AnIdentityAndAProjectHaveSoManyConnections) {
  config_.connection_limits = {.per_identity = 2, .per_project = 3};
  start();
  auto answer = [&](const std::string& identity) {
    WsClient client(node_->port());
    return client.handshake("/?token=" + token({"c"}, identity)).substr(9, 3);
  };
  {
    WsClient a = connect({"c"}, "ada");
    WsClient b = connect({"c"}, "ada");
    EXPECT_EQ(answer("ada"), "429");
    WsClient c = connect({"c"}, "bob");
    EXPECT_EQ(answer("carl"), "429");
  }
  eventually([&] { return node_->connections() == 0; });
  WsClient a = connect({"c"}, "ada");
}

TEST_F(StreamTest, ShowsOperatorsTheHotChannels) {
  start();
  WsClient a = connect({"cold", "hot"});
  for (int i = 0; i < 3; ++i) publish("hot", "1");
  const std::string page = node_->hot_channels_json(1);
  EXPECT_TRUE(page.starts_with(
      R"({"total":2,"channels":[{"project":"p1","channel":"hot","subscribers":1,"messages_per_s":)"))
      << page;
  EXPECT_EQ(metric("raymesh_realtime_subscriptions"), 2);
}

TEST_F(StreamTest, TakesNewConnectionsAtItsOwnPace) {
  config_.limits.accept_rate = 20;
  start();
  const auto begin = std::chrono::steady_clock::now();
  std::vector<WsClient> clients;
  for (int i = 0; i < 30; ++i) clients.push_back(connect({"c"}));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(400));
  EXPECT_EQ(publish("c", "1"), 30u);
}

TEST_F(StreamTest, ASlowReaderOfALossyChannelIsToldWhatItMissed) {
  rules({"c slow=drop"});
  config_.limits.max_backlog_bytes = 64 << 10;
  start();
  WsClient slow = WsClient::open(node_->port(), "/?token=" + token({"c"}), 4 << 10);
  WsClient fast = connect({"c"});
  const std::string payload = '"' + std::string(4'000, 'x') + '"';
  constexpr size_t kMessages = 2'000;
  for (size_t i = 0; i < kMessages; ++i) {
    ASSERT_EQ(publish("c", payload), 2u);
    EXPECT_EQ(fast.receive_text(), message("c", payload));
  }
  size_t got = 0;
  size_t lost = 0;
  while (got + lost < kMessages) {
    const std::string text = slow.receive_text();
    if (text == message("c", payload)) {
      ++got;
      continue;
    }
    const size_t at = text.find(R"("lost":)");
    ASSERT_NE(at, std::string::npos) << text.substr(0, 200);
    lost += std::stoul(text.substr(at + 7));
  }
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(metric("raymesh_realtime_dropped_total"), static_cast<double>(lost));
  publish("c", "1");
  EXPECT_EQ(slow.receive_text(), message("c", "1"));
}

TEST_F(StreamTest, ASlowReaderOfAConflatedChannelGetsTheLatestOfEachKey) {
  rules({"c slow=conflate conflate-key=id"});
  start();
  WsClient slow = WsClient::open(node_->port(), "/?token=" + token({"c"}), 4 << 10);
  const std::string filler(4'000, 'x');
  auto payload = [&](int key, int value) {
    return R"({"id":)" + std::to_string(key) + R"(,"v":)" + std::to_string(value) + R"(,"f":")" +
           filler + "\"}";
  };
  constexpr int kRounds = 400;
  for (int v = 0; v < kRounds; ++v)
    for (int key = 0; key < 5; ++key) publish("c", payload(key, v));
  std::map<int, int> latest;
  size_t messages = 0;
  while (latest.size() < 5 || std::any_of(latest.begin(), latest.end(), [](const auto& entry) {
           return entry.second != kRounds - 1;
         })) {
    const std::string text = slow.receive_text();
    ++messages;
    const int key = std::stoi(text.substr(text.find(R"("id":)") + 5));
    const int value = std::stoi(text.substr(text.find(R"("v":)") + 4));
    EXPECT_TRUE(!latest.contains(key) || latest[key] < value);
    latest[key] = value;
  }
  EXPECT_LT(messages, 5u * kRounds);
  EXPECT_TRUE(slow.is_silent_for(std::chrono::milliseconds(50)));
}

}  // namespace
}  // namespace raymesh::realtime
