// A whole node with real sockets: what a client sees.
#include <stdexcept>

#include "node_fixture.hpp"

namespace raymesh::realtime {
namespace {

using Opcode = net::websocket::Opcode;

class NodeTest : public NodeFixture {};

TEST_F(NodeTest, DeliversToTheOthersAndNotToTheSender) {
  start();
  auto a = connect({"room"});
  auto b = connect({"room"});
  auto c = connect({"other"});
  a.send_text(publish_frame("room", R"({"n":1})"));
  EXPECT_EQ(b.receive_text(), message("room", R"({"n":1})"));
  b.send_text(publish_frame("room", "2"));
  // What a gets first is b's: its own was not sent back.
  EXPECT_EQ(a.receive_text(), message("room", "2"));
  EXPECT_TRUE(c.is_silent_for(std::chrono::milliseconds(50)));
}

TEST_F(NodeTest, LeavesThePayloadsBytesAsTheyAre) {
  start();
  auto a = connect({"r"});
  auto b = connect({"r"});
  for (const std::string payload :
       {R"({"b":1,  "a":[1.0,2e3,"A\n"]})", R"("text")", "null", "true", "-0.0", "[]",
        "\"\xc3\xa4\xf0\x9f\x98\x80\"", "12345678901234567890123"}) {
    a.send_text(R"({ "payload" :)" + payload + R"(, "channel": "r" , "type":"publish" } )");
    EXPECT_EQ(b.receive_text(), message("r", payload));
  }
}

TEST_F(NodeTest, IgnoresWhatIsNotAPublishToAGrantedChannel) {
  start();
  auto a = connect({"r"});
  auto b = connect({"r"});
  auto foreign = connect({"secret"});
  a.send_text(publish_frame("secret", "1"));
  for (const char* text :
       {"", "{", "[]", "null", "not json", R"({"type":"subscribe","channel":"secret"})",
        R"({"type":"publish","channel":"r","payload":01})",
        R"({"type":"publish","channel":"r","payload":{"a":}})",
        R"({"type":"publish","channel":"r","payload":"a)",
        R"({"type":"publish","channel":7,"payload":1})", R"({"channel":"r","payload":1})",
        R"({"type":"publish","payload":1})", R"({"type":"publish","channel":"r","payload":1} x)",
        R"({"type":"message","channel":"r","payload":1})"})
    a.send_text(text);
  a.send_text(publish_frame("r", R"("after")"));
  EXPECT_EQ(b.receive_text(), message("r", R"("after")"));
  EXPECT_TRUE(foreign.is_silent_for(std::chrono::milliseconds(50)));
}

TEST_F(NodeTest, ChannelsOfProjectsAreApart) {
  start();
  auto a = connect({"r"});
  auto b = WsClient::open(node_->port(), "/?token=" + token({"r"}, "", 600, "p2"));
  EXPECT_EQ(publish("r", "1"), 1u);
  EXPECT_EQ(a.receive_text(), message("r", "1"));
  EXPECT_TRUE(b.is_silent_for(std::chrono::milliseconds(50)));
}

TEST_F(NodeTest, EscapesTheChannelsName) {
  start();
  auto a = connect({"a\"b\\c"});
  publish("a\"b\\c", "1");
  EXPECT_EQ(a.receive_text(), R"({"type":"message","channel":"a\"b\\c","payload":1})");
}

TEST_F(NodeTest, TellsHowManySocketsAPublishWentTo) {
  start();
  EXPECT_EQ(publish("r", "1"), 0u);
  auto a = connect({"r", "s"});
  EXPECT_EQ(publish("r", "1"), 1u);
  auto b = connect({"r"});
  EXPECT_EQ(publish("r", "1"), 2u);
  EXPECT_EQ(publish("s", "1"), 1u);
  b.send(Opcode::kClose, "");
  EXPECT_EQ(b.receive_close(), 0);  // an empty close is answered with an empty one
  eventually([&] { return node_->connections() == 1; });
  EXPECT_EQ(publish("r", "1"), 1u);
}

TEST_F(NodeTest, ListsOneEntryPerConnectionInPresence) {
  start();
  EXPECT_EQ(presence("r"), "[]");
  auto a = connect({"r"}, "ann");
  auto b = connect({"r"}, "ann");
  auto c = connect({"r"});
  const std::string list = presence("r");
  size_t ids = 0;
  for (size_t at = 0; (at = list.find("\"id\":", at)) != std::string::npos; ++at) ++ids;
  size_t names = 0;
  for (size_t at = 0; (at = list.find(R"("identity":"ann")", at)) != std::string::npos; ++at)
    ++names;
  EXPECT_EQ(ids, 3u) << list;
  EXPECT_EQ(names, 2u) << list;
}

TEST_F(NodeTest, GivesUpAChannelWithItsLastMember) {
  start();
  {
    auto a = connect({"x", "y"});
    EXPECT_EQ(node_->channels(), 2u);
  }
  eventually([&] { return node_->channels() == 0 && node_->connections() == 0; });
  auto again = connect({"x"});
  EXPECT_EQ(publish("x", "1"), 1u);
  EXPECT_EQ(again.receive_text(), message("x", "1"));
}

TEST_F(NodeTest, AnOpenSocketIsSubscribed) {
  start();
  for (int i = 0; i < 50; ++i) {
    auto a = connect({"a", "b", "c", "d"});
    EXPECT_GE(publish("d", "1"), 1u);
    EXPECT_EQ(a.receive_text(), message("d", "1"));
  }
}

TEST_F(NodeTest, AnswersPingsAlsoBetweenFragments) {
  start();
  auto a = connect({"r"});
  auto b = connect({"r"});
  const std::string text = publish_frame("r", R"("joined")");
  a.send(Opcode::kText, text.substr(0, 5), false);
  a.send(Opcode::kPing, "are you there");
  a.send(Opcode::kContinuation, text.substr(5, 10), false);
  a.send(Opcode::kContinuation, text.substr(15));
  const auto pong = a.receive();
  ASSERT_TRUE(pong);
  EXPECT_EQ(pong->opcode, Opcode::kPong);
  EXPECT_EQ(pong->payload, "are you there");
  EXPECT_EQ(b.receive_text(), message("r", R"("joined")"));
}

TEST_F(NodeTest, TakesFramesByteByByteAndManyAtOnce) {
  start();
  auto a = connect({"r"});
  auto b = connect({"r"});
  for (const char c : WsClient::frame(Opcode::kText, publish_frame("r", "1")))
    a.send_raw(std::string_view(&c, 1));
  EXPECT_EQ(b.receive_text(), message("r", "1"));
  std::string many;
  for (int i = 0; i < 5'000; ++i)
    many += WsClient::frame(Opcode::kText, publish_frame("r", std::to_string(i)));
  a.send_raw(many);
  for (int i = 0; i < 5'000; ++i) ASSERT_EQ(b.receive_text(), message("r", std::to_string(i)));
}

TEST_F(NodeTest, TakesTheLargestMessageAndRefusesALargerOne) {
  start();
  auto a = connect({"r"});
  auto b = connect({"r"});
  const std::string empty = publish_frame("r", R"("")");
  const std::string payload =
      '"' + std::string(config_.limits.max_message_bytes - empty.size(), 'x') + '"';
  a.send_text(publish_frame("r", payload));
  EXPECT_EQ(b.receive_text(), message("r", payload));
  a.send(Opcode::kText, std::string(config_.limits.max_message_bytes + 1, 'x'));
  EXPECT_EQ(a.receive_close(), 1009);
  auto c = connect({"r"});
  for (int i = 0; i < 3; ++i)
    c.send(i == 0 ? Opcode::kText : Opcode::kContinuation,
           std::string(config_.limits.max_message_bytes / 2, 'x'), false);
  EXPECT_EQ(c.receive_close(), 1009);
}

TEST_F(NodeTest, ClosesProtocolErrorsWithTheirCodes) {
  start();
  const std::vector<std::pair<std::string, int>> cases = {
      {std::string("\x81\x02hi", 4), 1002},                     // no mask
      {std::string("\xc1\x80\x01\x02\x03\x04", 6), 1002},       // reserved bit
      {std::string("\x83\x80\x01\x02\x03\x04", 6), 1002},       // reserved opcode
      {WsClient::frame(Opcode::kPing, "x", false), 1002},       // fragmented control
      {WsClient::frame(Opcode::kContinuation, "x"), 1002},      // nothing to continue
      {WsClient::frame(Opcode::kClose, "x"), 1002},             // half a code
      {WsClient::frame(Opcode::kClose, "\x03\xed"), 1002},      // 1005
      {WsClient::frame(Opcode::kClose, "\x03\xe8\xff"), 1007},  // reason
      {WsClient::frame(Opcode::kText, "\xff\xfe"), 1007},
      {WsClient::frame(Opcode::kClose,
                       "\x03\xe8"
                       "bye"),
       1000},
      {WsClient::frame(Opcode::kClose, "\x0f\xa0"), 4000},
  };
  for (const auto& [bytes, code] : cases) {
    auto a = connect({"r"});
    a.send_raw(bytes);
    EXPECT_EQ(a.receive_close(), code);
    a.read_to_end();
  }
  eventually([&] { return node_->connections() == 0; });
}

TEST_F(NodeTest, EndsASocketWhoseTokenHasExpired) {
  start();
  auto a = WsClient::open(node_->port(), "/?token=" + token({"r"}, "", 1));
  EXPECT_EQ(a.receive_close(), 4401);
  eventually([&] { return publish("r", "1") == 0; });
}

TEST_F(NodeTest, PingsAndEndsWhoeverDoesNotAnswer) {
  config_.limits.ping_interval = std::chrono::milliseconds(1'000);
  start();
  auto quiet = connect({"r"});
  quiet.answer_pings = false;
  std::thread lively([client = connect({"r"})]() mutable {
    EXPECT_EQ(client.receive_text(), message("r", "1"));
    EXPECT_GE(client.pings, 1);
  });
  EXPECT_EQ(quiet.receive_close(), -1);  // cut, not closed: nobody is there to read a close frame
  EXPECT_GE(quiet.pings, 1);
  EXPECT_EQ(publish("r", "1"), 1u);
  lively.join();
}

TEST_F(NodeTest, EndsWhoeverPublishesTooFast) {
  config_.limits.publish_rate = 10;
  start();
  auto a = connect({"r"});
  std::string burst;
  for (int i = 0; i < 50; ++i) burst += WsClient::frame(Opcode::kText, publish_frame("r", "1"));
  a.send_raw(burst);
  EXPECT_EQ(a.receive_close(), 4429);
}

TEST_F(NodeTest, AStoppedNodeTellsItsClientsWhenToComeBack) {
  start();
  auto a = connect({"r"});
  auto b = connect({"s"});
  node_->stop(std::chrono::milliseconds(2'000));
  EXPECT_EQ(a.receive_close(), 1012);
  EXPECT_EQ(a.close_reason.rfind("reconnect_after_ms=", 0), 0u) << a.close_reason;
  EXPECT_EQ(b.receive_close(), 1012);
  EXPECT_THROW(WsClient late(node_->port()), std::system_error);
}

TEST_F(NodeTest, AllSubscribersSeeOneOrderWhateverTheirShard) {
  start();
  std::vector<WsClient> readers;
  for (int i = 0; i < 8; ++i) readers.push_back(connect({"r"}));
  constexpr int kPublishers = 4;
  constexpr int kEach = 500;
  std::vector<std::thread> threads;
  for (int p = 0; p < kPublishers; ++p)
    threads.emplace_back([this, p] {
      auto client = connect({"r"});
      for (int i = 0; i < kEach; ++i) {
        if (i % 10 == 9) {
          publish("r", std::to_string(p * kEach + i));
        } else {
          client.send_text(publish_frame("r", std::to_string(p * kEach + i)));
        }
      }
      client.send(Opcode::kClose, "");
      client.receive_close();
    });
  for (auto& t : threads) t.join();
  std::vector<std::string> first;
  for (int i = 0; i < kPublishers * kEach; ++i) first.push_back(readers[0].receive_text());
  for (size_t r = 1; r < readers.size(); ++r)
    for (const auto& expected : first) ASSERT_EQ(readers[r].receive_text(), expected);
}

TEST_F(NodeTest, FewConnectionsShareAShardAndManyAreSpread) {
  config_.limits.one_shard_up_to = 3;
  start();
  std::vector<WsClient> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(connect({"c"}));
  EXPECT_EQ(node_->connections_by_shard(), (std::vector<size_t>{3, 0}));
  for (int i = 0; i < 5; ++i) clients.push_back(connect({"c"}));
  EXPECT_EQ(node_->connections_by_shard(), (std::vector<size_t>{4, 4}));
  EXPECT_EQ(publish("c", "1"), 8u);
  // Those that go make room again.
  clients.clear();
  eventually([&] { return node_->connections_by_shard() == std::vector<size_t>{0, 0}; });
  clients.push_back(connect({"c"}));
  EXPECT_EQ(node_->connections_by_shard(), (std::vector<size_t>{1, 0}));
}

TEST_F(NodeTest, ASlowReaderIsClosedAndHoldsUpNobody) {
  config_.limits.max_backlog_bytes = 256u << 10;
  start();
  auto slow = WsClient::open(node_->port(), "/?token=" + token({"r"}), 4'096);
  auto fast = connect({"r"});
  const std::string payload = '"' + std::string(8'000, 'x') + '"';
  int sent = 0;
  // The kernel takes some megabytes for the slow one; then the node does, up to its bound.
  while (publish("r", payload) == 2) {
    ++sent;
    ASSERT_EQ(fast.receive_text(), message("r", payload));
    ASSERT_LT(sent, 20'000);
  }
  EXPECT_EQ(fast.receive_text(), message("r", payload));
  // It still gets whole frames, and then why it was closed.
  EXPECT_EQ(slow.receive_close(), 4408);
  slow.read_to_end();
  eventually([&] { return metric("raymesh_realtime_frame_memory_bytes") < 300'000; });
}

TEST_F(NodeTest, PublishersWaitWhileTooMuchIsOnItsWay) {
  config_.limits.max_queued_bytes = 1;
  start();
  std::vector<WsClient> readers;
  for (int i = 0; i < 4; ++i) readers.push_back(connect({"r"}));
  std::thread publisher([this] {
    auto client = connect({"r"});
    for (int i = 0; i < 5'000; ++i) client.send_text(publish_frame("r", std::to_string(i)));
    client.send(Opcode::kClose, "");
    EXPECT_EQ(client.receive_close(), 0);
  });
  for (int i = 0; i < 5'000; ++i)
    for (auto& reader : readers) ASSERT_EQ(reader.receive_text(), message("r", std::to_string(i)));
  publisher.join();
}

TEST_F(NodeTest, ARefusedConnectionNeverOpens) {
  start();
  const auto status = [&](const std::string& head) { return head.substr(9, 3); };
  EXPECT_EQ(status(WsClient(node_->port()).handshake("/")), "401");
  EXPECT_EQ(status(WsClient(node_->port()).handshake("/?token=abc")), "401");
  EXPECT_EQ(status(WsClient(node_->port()).handshake("/?token=" + token({"r"}) + "x")), "401");
  Grant grant;
  grant.project = kProject;
  grant.channels = {"r"};
  const auto old = tokens_.mint(grant, 10, crypto::jwt::unix_now() - 60).value();
  EXPECT_EQ(status(WsClient(node_->port()).handshake("/?token=" + old)), "401");
  WsClient no_key(node_->port());
  no_key.send_raw("GET /?token=" + token({"r"}) +
                  " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                  "Sec-WebSocket-Version: 13\r\n\r\n");
  EXPECT_EQ(status(no_key.read_to_end()), "401");
  WsClient plain(node_->port());
  plain.send_raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(status(plain.read_to_end()), "426");
  eventually([&] { return node_->connections() <= 2; });

  EXPECT_EQ(presence("r"), "[]");
}

TEST_F(NodeTest, RefusesConnectionsAboveTheBound) {
  config_.limits.max_connections = 2;
  start();
  auto a = connect({"r"});
  {
    auto b = connect({"r"});
    WsClient c(node_->port());
    EXPECT_EQ(c.read_to_end().substr(0, 12), "HTTP/1.1 503");
  }
  eventually([&] { return node_->connections() == 1; });
  auto d = connect({"r"});
  EXPECT_EQ(publish("r", "1"), 2u);
}

TEST_F(NodeTest, RefusesMoreChannelsThanTheNodeMayHave) {
  config_.limits.max_channels = 3;
  start();
  auto a = connect({"a", "b"});
  WsClient b(node_->port());
  EXPECT_EQ(b.handshake("/?token=" + token({"c", "d"})).substr(0, 12), "HTTP/1.1 503");
  eventually([&] { return node_->channels() == 2; });
  auto c = connect({"a", "c"});
  EXPECT_EQ(publish("a", "1"), 2u);
}

TEST_F(NodeTest, GarbageEndsTheConnectionAndNothingElse) {
  start();
  auto healthy = connect({"r"});
  for (const std::string& bytes :
       {std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11), std::string(64, '\0'),
        std::string("\r\n\r\n"), std::string("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), std::string(40'000, 'A')}) {
    WsClient garbage(node_->port());
    garbage.send_raw(bytes);
    if (bytes.find("\r\n\r\n") != std::string::npos || bytes.size() > 16 * 1024) {
      EXPECT_EQ(garbage.read_to_end().substr(0, 10), "HTTP/1.1 4");
    }
  }
  EXPECT_EQ(publish("r", "1"), 1u);
  EXPECT_EQ(healthy.receive_text(), message("r", "1"));
  eventually([&] { return node_->connections() == 1; });
}

TEST_F(NodeTest, AHandshakeThatDoesNotComeIsCut) {
  config_.limits.handshake_timeout = std::chrono::milliseconds(500);
  start();
  WsClient idle(node_->port());
  WsClient half(node_->port());
  half.send_raw("GET / HTTP/1.1\r\nHost: x\r\n");
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_EQ(half.read_to_end(), "");
  eventually([&] { return node_->connections() == 0; });
}

TEST_F(NodeTest, FramesBehindTheHandshakeAreNotLost) {
  start();
  auto b = connect({"r"});
  WsClient a(node_->port());
  std::string early = "GET /?token=" + token({"r"}) +
                      " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
                      "dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  early += WsClient::frame(Opcode::kText, publish_frame("r", "1"));
  a.send_raw(early);
  EXPECT_EQ(b.receive_text(), message("r", "1"));
}

TEST_F(NodeTest, ManyConnectionsComeAndGo) {
  start();
  auto stays = connect({"r"});
  for (int round = 0; round < 20; ++round) {
    std::vector<WsClient> some;
    for (int i = 0; i < 50; ++i) some.push_back(connect({"r", "c" + std::to_string(i % 7)}));
    EXPECT_EQ(publish("r", std::to_string(round)), 51u);
    EXPECT_EQ(stays.receive_text(), message("r", std::to_string(round)));
    // Half of them say goodbye, half are gone without a word.
    for (int i = 0; i < 25; ++i) some[static_cast<size_t>(i)].send(Opcode::kClose, "\x03\xe8");
    some.clear();
    eventually([&] { return node_->connections() == 1; });
  }
  eventually([&] { return node_->channels() == 1; });
  EXPECT_EQ(publish("r", "1"), 1u);
}

TEST_F(NodeTest, AChannelThatFailsClosesItsSocketsWith1011AndIsMadeAnew) {
  start();
  auto a = connect({"r"});
  auto b = connect({"r", "s"});
  auto other = connect({"s"});
  // What runs in the channel's actor throws: the actor dies as of any defect in a handler.
  node_->publish(kProject, "r", "1",
                 [](const Result<Published>&) { throw std::runtime_error("a defect"); });
  for (WsClient* client : {&a, &b}) {
    EXPECT_EQ(client->receive_close(), close::kInternalError.code);
    EXPECT_EQ(client->close_reason, close::kInternalError.reason);
  }
  EXPECT_EQ(metric("raymesh_realtime_connections_closed_total{code=\"1011\"}"), 2);
  auto again = connect({"r"});
  EXPECT_EQ(publish("r", "2"), 1u);
  EXPECT_EQ(again.receive_text(), message("r", "2"));
  EXPECT_EQ(publish("s", "3"), 1u);
  EXPECT_EQ(other.receive_text(), message("s", "3"));
  eventually([&] { return node_->channels() == 2 && node_->connections() == 2; });
}

TEST_F(NodeTest, HasTheseMetricsAndNoOthers) {
  start();
  std::vector<std::string> own;
  for (const std::string& name : registry_->names())
    if (name.starts_with("raymesh_realtime_")) own.push_back(name);
  const std::vector<std::string> golden = {"raymesh_realtime_broker_lag_seconds",
                                           "raymesh_realtime_channels",
                                           "raymesh_realtime_connections",
                                           "raymesh_realtime_connections_closed_total",
                                           "raymesh_realtime_connections_lost_total",
                                           "raymesh_realtime_connections_opened_total",
                                           "raymesh_realtime_connections_refused_total",
                                           "raymesh_realtime_delivered_bytes_total",
                                           "raymesh_realtime_delivered_total",
                                           "raymesh_realtime_drain_left",
                                           "raymesh_realtime_dropped_total",
                                           "raymesh_realtime_fanout_seconds",
                                           "raymesh_realtime_frame_memory_bytes",
                                           "raymesh_realtime_gaps_total",
                                           "raymesh_realtime_messages_ignored_total",
                                           "raymesh_realtime_pings_total",
                                           "raymesh_realtime_publish_refused_total",
                                           "raymesh_realtime_published_bytes_total",
                                           "raymesh_realtime_published_total",
                                           "raymesh_realtime_queued_bytes",
                                           "raymesh_realtime_recoveries_total",
                                           "raymesh_realtime_relay_left_out_total",
                                           "raymesh_realtime_relay_streams",
                                           "raymesh_realtime_relayed_bytes_total",
                                           "raymesh_realtime_relayed_total",
                                           "raymesh_realtime_slow_total",
                                           "raymesh_realtime_subscriptions",
                                           "raymesh_realtime_tokens_minted_total"};
  EXPECT_EQ(own, golden);
}

}  // namespace
}  // namespace raymesh::realtime
