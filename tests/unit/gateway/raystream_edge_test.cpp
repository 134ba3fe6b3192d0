// Raystream over real sockets against a running gateway whose services are not there: what it does
// with strangers, who have shaken hands at most. Sessions that are attached: tests/e2e.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "libs/raystream/state_keys.hpp"
#include "tests/support/raystream_client.hpp"
#include "tests/unit/gateway/raystream_gateway.hpp"

namespace raymesh::gateway {
namespace {

using namespace std::chrono_literals;
using raystream::ErrorCode;
using raystream::FrameType;
using testing::Gateway;
using testing::RaystreamClient;
using testing::Transport;
using testing::WsClient;
namespace v1 = raymesh::raystream::v1;

class RaystreamEdgeTest : public ::testing::TestWithParam<Transport> {
 protected:
  RaystreamClient connect(Gateway& gateway) {
    return RaystreamClient(GetParam(), gateway.port(GetParam()));
  }
};
INSTANTIATE_TEST_SUITE_P(Transports, RaystreamEdgeTest,
                         ::testing::Values(Transport::kTcp, Transport::kWebSocket),
                         [](const auto& tested) {
                           return tested.param == Transport::kTcp ? "Tcp" : "WebSocket";
                         });

TEST_P(RaystreamEdgeTest, ShakesHandsWithTheKeyThatWasPinned) {
  Gateway gateway;
  for (size_t key : {0, 1}) {
    RaystreamClient client = connect(gateway);
    ASSERT_TRUE(client.shake_hands(gateway.client(key)));
    v1::Heartbeat beat;
    beat.set_timestamp(17);
    client.send(FrameType::kHeartbeat, beat.SerializeAsString());
    const auto answer = client.receive();
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->type, FrameType::kHeartbeat);
    ASSERT_TRUE(beat.ParseFromString(answer->payload));
    EXPECT_EQ(beat.timestamp(), 17u);
    EXPECT_GT(beat.server_time(), 1'700'000'000'000u);
    client.send(FrameType::kClose, {});
    EXPECT_FALSE(client.receive());
  }
  EXPECT_EQ(gateway.handshakes("done"), 2);
  EXPECT_TRUE(gateway.becomes("raymesh_gateway_connections", 0));
  EXPECT_TRUE(gateway.becomes("raymesh_gateway_raystream_sessions{state=\"open\"}", 0));
}

TEST_P(RaystreamEdgeTest, ASessionThatIsToBeResumedBeginsAnew) {
  Gateway gateway;
  RaystreamClient client = connect(gateway);
  const raystream::Resumption resumption{"018f0000-0000-7000-8000-000000000000",
                                         crypto::Secret(std::string(32, 'x'))};
  client.send_frame(client.init(gateway.client(), &resumption));
  ASSERT_TRUE(client.read_response());
  EXPECT_FALSE(client.handshake().resumed());
  EXPECT_NE(client.session().id(), resumption.session_id);
  client.call(1, "no.such");
  EXPECT_EQ(client.receive_error().error_code(), v1::NOT_FOUND);
}

Config stores_sessions() {
  Config config;
  config.raystream.state_keys = {raystream::StateKeys::generate("state")};
  return config;
}

TEST_P(RaystreamEdgeTest, ASessionThatCannotBeLookedUpBeginsAnew) {
  Gateway gateway(stores_sessions());
  RaystreamClient client = connect(gateway);
  const raystream::Resumption resumption{"018f0000-0000-7000-8000-000000000000",
                                         crypto::Secret(std::string(32, 'x'))};
  client.send_frame(client.init(gateway.client(), &resumption));
  ASSERT_TRUE(client.read_response());
  EXPECT_FALSE(client.handshake().resumed());
  EXPECT_EQ(gateway.metric("raymesh_gateway_raystream_resumptions_total{outcome=\"unavailable\"}"),
            1);
}

TEST_P(RaystreamEdgeTest, WhileASessionIsLookedUpNothingMayCome) {
  Gateway gateway(stores_sessions());
  const raystream::Resumption resumption{"018f0000-0000-7000-8000-000000000000",
                                         crypto::Secret(std::string(32, 'x'))};
  RaystreamClient client = connect(gateway);
  const std::string init = client.init(gateway.client(), &resumption);
  client.send_frame(init);
  client.send_frame(init);
  EXPECT_EQ(client.receive_close(), ErrorCode::kInvalidRequest);
  ASSERT_TRUE(client.closed);
  EXPECT_NE(client.closed->reason.find("second"), std::string::npos) << client.closed->reason;
  // One that goes meanwhile leaves nothing behind.
  {
    RaystreamClient gone = connect(gateway);
    gone.send_frame(gone.init(gateway.client(), &resumption));
  }
  EXPECT_TRUE(gateway.becomes("raymesh_gateway_raystream_sessions{state=\"open\"}", 0));
}

TEST_P(RaystreamEdgeTest, ALookUpDoesNotOutlastTheHandshake) {
  Config config = stores_sessions();
  config.raystream.handshake_timeout = 150ms;
  config.raystream.check_period = 20ms;
  Gateway gateway(config);
  const raystream::Resumption resumption{"018f0000-0000-7000-8000-000000000000",
                                         crypto::Secret(std::string(32, 'x'))};
  RaystreamClient client = connect(gateway);
  client.send_frame(client.init(gateway.client(), &resumption));
  ASSERT_TRUE(client.read_response()) << "half of the time is left for the answer";
  EXPECT_FALSE(client.handshake().resumed());
}

TEST_P(RaystreamEdgeTest, BeforeAttachNothingCanBeCalled) {
  Gateway gateway;
  RaystreamClient client = connect(gateway);
  ASSERT_TRUE(client.shake_hands(gateway.client()));
  uint64_t id = 0;
  for (const char* method : {"db.find", "cache.get", "info", "raystream.echo"}) {
    client.call(++id, method);
    const auto error = client.receive_error();
    EXPECT_EQ(error.call_id(), id);
    EXPECT_EQ(error.error_code(), v1::UNAUTHORIZED) << method;
    EXPECT_EQ(error.code(), "unauthenticated");
    EXPECT_EQ(error.status(), 401u);
  }
  client.call(++id, "no.such");
  EXPECT_EQ(client.receive_error().error_code(), v1::NOT_FOUND);
  // Nor may it send what only an attached one sends.
  EXPECT_THROW(client.seal(FrameType::kSubscribe, {}), std::runtime_error);
}

TEST_P(RaystreamEdgeTest, AttachFailsWithoutAKeyAndEndsAfterSomeAttempts) {
  Gateway gateway;
  RaystreamClient client = connect(gateway);
  ASSERT_TRUE(client.shake_hands(gateway.client()));
  v1::Attach attach;
  client.call(1, "auth.attach");
  EXPECT_EQ(client.receive_error().code(), "missing_api_key");
  attach.set_api_key("xx_something");
  client.call(2, "auth.attach", attach.SerializeAsString());
  EXPECT_EQ(client.receive_error().code(), "invalid_api_key");
  client.call(3, "auth.attach", "\xff\xff");
  EXPECT_EQ(client.receive_error().code(), "invalid_request");
  // With auth away a key cannot be looked up: that is no guess, but ends all the same.
  attach.set_api_key("dc_something");
  client.call(4, "auth.attach", attach.SerializeAsString());
  const auto away = client.receive_error();
  EXPECT_EQ(away.error_code(), v1::SERVICE_UNAVAILABLE);
  EXPECT_EQ(away.error_message(), errors::kUnavailable.meaning);
  for (uint64_t id = 5; id <= 8; ++id) client.call(id, "auth.attach");
  EXPECT_EQ(client.receive_close(), ErrorCode::kUnauthorized);
}

TEST_P(RaystreamEdgeTest, OpenCallsOfStrangersAreFew) {
  Gateway gateway;
  RaystreamClient client = connect(gateway);
  ASSERT_TRUE(client.shake_hands(gateway.client()));
  for (uint64_t id = 1; id <= 8; ++id) client.call(id, "auth.attach", "x", true);
  client.call(9, "auth.attach", "x", true);
  const auto error = client.receive_error();
  EXPECT_EQ(error.call_id(), 9u);
  EXPECT_EQ(error.error_code(), v1::RATE_LIMITED);
  EXPECT_GT(error.retry_after_ms(), 0u);
  // More of a call that was refused is passed over; the others are as they were.
  client.call(9, "", "y", false);
  client.call(1, "", "y", false);
  EXPECT_EQ(client.receive_error().call_id(), 1u);
}

TEST_P(RaystreamEdgeTest, ArgumentsOfStrangersAreSmall) {
  Gateway gateway;
  RaystreamClient client = connect(gateway);
  ASSERT_TRUE(client.shake_hands(gateway.client()));
  const std::string part(9'000, 'x');
  client.call(1, "auth.attach", part, true);
  client.call(1, "", part, true);
  const auto error = client.receive_error();
  EXPECT_EQ(error.error_code(), v1::INVALID_REQUEST);
  EXPECT_EQ(error.code(), "body_too_large");
}

TEST_P(RaystreamEdgeTest, WhatIsNotAFrameEndsTheConnectionWithAWord) {
  Gateway gateway;
  struct Case {
    const char* what;
    std::string (*change)(std::string);
    ErrorCode code;
  };
  const Case cases[] = {
      {"version", [](std::string f) { return f[0] = 2, f; }, ErrorCode::kInvalidRequest},
      {"type", [](std::string f) { return f[1] = 0x44, f; }, ErrorCode::kInvalidRequest},
      {"flags", [](std::string f) { return f[3] = 1, f; }, ErrorCode::kInvalidRequest},
      {"reserved", [](std::string f) { return f[15] = 1, f; }, ErrorCode::kInvalidRequest},
      {"order", [](std::string f) { return f[1] = 0x10, f; }, ErrorCode::kInvalidRequest},
      {"sequence", [](std::string f) { return f[7] = 1, f; }, ErrorCode::kInvalidNonce},
      {"tag", [](std::string f) { return f.back() = 1, f; }, ErrorCode::kInvalidRequest},
      {"length", [](std::string f) { return f[9] = 1, f; }, ErrorCode::kInvalidRequest},
      {"offer", [](std::string f) { return f[raystream::kPayloadOffset] = 0, f; },
       ErrorCode::kInvalidRequest},
  };
  for (const Case& c : cases) {
    RaystreamClient client = connect(gateway);
    client.send_frame(c.change(client.init(gateway.client())));
    EXPECT_EQ(client.receive_close(), c.code) << c.what;
    EXPECT_FALSE(client.closed && client.closed->reason.empty()) << c.what;
  }
  EXPECT_EQ(gateway.handshakes("done"), 0);
  EXPECT_TRUE(gateway.becomes("raymesh_gateway_raystream_sessions{state=\"open\"}", 0));
}

TEST_P(RaystreamEdgeTest, AChangedFrameEndsTheSession) {
  Gateway gateway;
  struct Case {
    size_t byte;
    ErrorCode code;
  };
  for (const Case c : {Case{7, ErrorCode::kInvalidNonce}, Case{27, ErrorCode::kInvalidNonce},
                       Case{28, ErrorCode::kDecryptionFailed}}) {
    RaystreamClient client = connect(gateway);
    ASSERT_TRUE(client.shake_hands(gateway.client()));
    std::string frame = client.seal(FrameType::kHeartbeat, "\x08\x01");
    frame[c.byte] ^= 1;
    client.send_frame(frame);
    EXPECT_EQ(client.receive_close(), c.code) << c.byte;
  }
  EXPECT_EQ(gateway.metric("raymesh_gateway_raystream_decrypt_failures_total"), 1);
  // A frame once more, and a second INIT.
  RaystreamClient twice = connect(gateway);
  const std::string init = twice.init(gateway.client());
  twice.send_frame(init);
  ASSERT_TRUE(twice.read_response());
  twice.send_frame(init);
  EXPECT_EQ(twice.receive_close(), ErrorCode::kInvalidRequest);
  RaystreamClient again = connect(gateway);
  ASSERT_TRUE(again.shake_hands(gateway.client()));
  const std::string beat = again.seal(FrameType::kHeartbeat, "\x08\x01");
  again.send_frame(beat);
  again.send_frame(beat);
  EXPECT_EQ(again.receive_close(), ErrorCode::kInvalidNonce);
}

TEST_P(RaystreamEdgeTest, WhatIsNoMessageEndsTheSession) {
  Gateway gateway;
  for (const char* payload : {"\xff\xff\xff", "", "\x08"}) {
    RaystreamClient client = connect(gateway);
    ASSERT_TRUE(client.shake_hands(gateway.client()));
    client.send(FrameType::kRpcCall, payload);
    EXPECT_EQ(client.receive_close(), ErrorCode::kInvalidRequest);
  }
}

Config quick() {
  Config config;
  config.raystream.handshake_timeout = config.raystream.attach_timeout = 150ms;
  config.raystream.check_period = 20ms;
  return config;
}

TEST_P(RaystreamEdgeTest, SlowHandshakesEnd) {
  Gateway gateway(quick());
  RaystreamClient silent = connect(gateway);
  EXPECT_EQ(silent.receive_close(), ErrorCode::kTimeout);
  RaystreamClient slow = connect(gateway);
  const std::string init = slow.init(gateway.client());
  if (GetParam() == Transport::kTcp)
    slow.send_frame(init.substr(0, 60));
  else
    slow.socket().send_raw(WsClient::frame(WsClient::Opcode::kBinary, init).substr(0, 60));
  EXPECT_EQ(slow.receive_close(), ErrorCode::kTimeout);
  EXPECT_EQ(gateway.handshakes("timed_out"), 2);
}

TEST_P(RaystreamEdgeTest, WhoDoesNotAttachInTimeEnds) {
  Gateway gateway(quick());
  RaystreamClient client = connect(gateway);
  ASSERT_TRUE(client.shake_hands(gateway.client()));
  // Heartbeats extend nothing.
  client.send(FrameType::kHeartbeat, "\x08\x01");
  EXPECT_EQ(client.receive_close(), ErrorCode::kTimeout);
}

TEST_P(RaystreamEdgeTest, HandshakesOfOneAddressAreBounded) {
  Config config;
  config.raystream.address_handshake_rate = 0.01;
  config.raystream.address_handshake_burst = 3;
  Gateway gateway(config);
  for (int i = 0; i < 20; ++i) {
    RaystreamClient client = connect(gateway);
    const bool shaken = client.shake_hands(gateway.client());
    EXPECT_EQ(shaken, i < 3);
    if (!shaken) {
      ASSERT_TRUE(client.closed);
      EXPECT_EQ(client.closed->code, ErrorCode::kRateLimited);
    }
  }
  EXPECT_EQ(gateway.handshakes("done"), 3);
  EXPECT_EQ(gateway.handshakes("rate_limited"), 17);
}

TEST_P(RaystreamEdgeTest, StrangersOfOneAddressAreBounded) {
  Config config;
  config.raystream.max_unattached_per_address = 4;
  Gateway gateway(config);
  std::vector<RaystreamClient> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(connect(gateway));
    ASSERT_TRUE(clients.back().shake_hands(gateway.client()));
  }
  if (GetParam() == Transport::kTcp) {
    RaystreamClient refused = connect(gateway);
    EXPECT_FALSE(refused.receive());
  } else {
    WsClient refused(gateway.port(GetParam()));
    EXPECT_TRUE(refused.handshake("/raystream").starts_with("HTTP/1.1 503 "));
  }
  EXPECT_EQ(gateway.handshakes("too_many"), 1);
  // One that goes makes room.
  clients.pop_back();
  ASSERT_TRUE(gateway.becomes("raymesh_gateway_raystream_sessions{state=\"open\"}", 3));
  EXPECT_TRUE(connect(gateway).shake_hands(gateway.client()));
}

TEST_P(RaystreamEdgeTest, HalfFramesHaveABudget) {
  Config config;
  config.raystream.max_unattached_memory = 64 << 10;
  Gateway gateway(config);
  // Each holds back the last byte of a payload of 15 KiB.
  std::vector<RaystreamClient> clients;
  size_t refused = 0;
  for (int i = 0; i < 12; ++i) {
    RaystreamClient client = connect(gateway);
    ASSERT_TRUE(client.shake_hands(gateway.client()));
    v1::RpcCall call;
    call.set_call_id(1);
    call.set_method("auth.attach");
    call.set_args(std::string(15'000, 'x'));
    std::string frame = client.seal(FrameType::kRpcCall, call.SerializeAsString());
    if (GetParam() == Transport::kWebSocket)
      frame = WsClient::frame(WsClient::Opcode::kBinary, frame);
    client.socket().send_raw(std::string_view(frame).substr(0, frame.size() - 1));
    clients.push_back(std::move(client));
  }
  const std::string closed = "raymesh_gateway_raystream_closed_total{code=\"SERVICE_UNAVAILABLE\"}";
  for (const auto start = std::chrono::steady_clock::now();
       gateway.metric(closed) < 8 && std::chrono::steady_clock::now() - start < 30s;)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_GE(gateway.metric(closed), 8);
  for (RaystreamClient& client : clients) {
    if (client.socket().is_silent_for(1ms)) continue;
    EXPECT_EQ(client.receive_close(), ErrorCode::kServiceUnavailable);
    ++refused;
  }
  EXPECT_GE(refused, 8u);
  EXPECT_LT(refused, 12u);
  // All of it is given back.
  clients.clear();
  ASSERT_TRUE(gateway.becomes("raymesh_gateway_raystream_sessions{state=\"open\"}", 0));
  EXPECT_TRUE(connect(gateway).shake_hands(gateway.client()));
}

TEST_P(RaystreamEdgeTest, AFrameMayComeByteByByte) {
  Gateway gateway;
  RaystreamClient client = connect(gateway);
  std::string init = client.init(gateway.client());
  if (GetParam() == Transport::kWebSocket) init = WsClient::frame(WsClient::Opcode::kBinary, init);
  for (const char c : init) client.socket().send_raw({&c, 1});
  ASSERT_TRUE(client.read_response());
  client.call(1, "no.such");
  EXPECT_EQ(client.receive_error().error_code(), v1::NOT_FOUND);
}

TEST_P(RaystreamEdgeTest, AStopSaysSoAndEnds) {
  Gateway gateway;
  RaystreamClient open = connect(gateway);
  ASSERT_TRUE(open.shake_hands(gateway.client()));
  RaystreamClient fresh = connect(gateway);
  std::thread stopping([&] { gateway.stop(); });
  EXPECT_EQ(open.receive_close(), ErrorCode::kServiceUnavailable);
  EXPECT_EQ(fresh.receive_close(), ErrorCode::kServiceUnavailable);
  stopping.join();
}

TEST(RaystreamWebSocketTest, TextIsRefused) {
  Gateway gateway;
  RaystreamClient client(Transport::kWebSocket, gateway.port(Transport::kWebSocket));
  ASSERT_TRUE(client.shake_hands(gateway.client()));
  client.socket().send_text("hello");
  EXPECT_EQ(client.receive_close(), ErrorCode::kInvalidRequest);
  EXPECT_EQ(client.websocket_code, 1003);
}

TEST(RaystreamWebSocketTest, AMessageIsOneFrame) {
  Gateway gateway;
  const int port = gateway.port(Transport::kWebSocket);
  RaystreamClient two(Transport::kWebSocket, port);
  ASSERT_TRUE(two.shake_hands(gateway.client()));
  const std::string first = two.seal(FrameType::kHeartbeat, "\x08\x01");
  two.send_frame(first + two.seal(FrameType::kHeartbeat, "\x08\x02"));
  EXPECT_EQ(two.receive_close(), ErrorCode::kInvalidRequest);
  RaystreamClient half(Transport::kWebSocket, port);
  ASSERT_TRUE(half.shake_hands(gateway.client()));
  half.send_frame(half.seal(FrameType::kHeartbeat, "\x08\x01").substr(0, 30));
  EXPECT_EQ(half.receive_close(), ErrorCode::kInvalidRequest);
  RaystreamClient large(Transport::kWebSocket, port);
  ASSERT_TRUE(large.shake_hands(gateway.client()));
  large.send_frame(std::string(20'000, 'x'));
  EXPECT_EQ(large.receive_close(), ErrorCode::kInvalidRequest);
  EXPECT_EQ(large.websocket_code, 1009);
}

TEST(RaystreamWebSocketTest, AFrameMayBeFragmentedAndPingsAreAnswered) {
  Gateway gateway;
  RaystreamClient client(Transport::kWebSocket, gateway.port(Transport::kWebSocket));
  ASSERT_TRUE(client.shake_hands(gateway.client()));
  const std::string frame = client.seal(FrameType::kHeartbeat, "\x08\x01");
  client.socket().send(WsClient::Opcode::kBinary, frame.substr(0, 10), false);
  client.socket().send(WsClient::Opcode::kPing, "are you there");
  client.socket().send(WsClient::Opcode::kContinuation, frame.substr(10));
  const auto pong = client.socket().receive();
  ASSERT_TRUE(pong);
  EXPECT_EQ(pong->opcode, WsClient::Opcode::kPong);
  EXPECT_EQ(pong->payload, "are you there");
  const auto answer = client.receive();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->type, FrameType::kHeartbeat);
}

TEST(RaystreamWebSocketTest, OtherRequestsAreAnsweredAsHttp) {
  Gateway gateway;
  WsClient client(gateway.port(Transport::kWebSocket));
  client.send_raw("GET /raystream HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_TRUE(client.receive_head().starts_with("HTTP/1.1 400 "));
}

TEST(RaystreamWebSocketTest, InitMayComeWithTheUpgradeRequest) {
  Gateway gateway;
  WsClient raw(gateway.port(Transport::kWebSocket));
  raystream::ClientHandshake handshake(gateway.client());
  raystream::OutgoingBuffer out;
  handshake.start(nullptr, out);
  raw.send_raw(
      "GET /raystream HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" +
      WsClient::frame(WsClient::Opcode::kBinary, out.bytes()));
  EXPECT_TRUE(raw.receive_head().starts_with("HTTP/1.1 101 "));
  const auto frame = raw.receive();
  ASSERT_TRUE(frame);
  raystream::Session session;
  EXPECT_FALSE(handshake.read(frame->payload, session));
}

TEST(RaystreamOffTest, WithoutKeysThereIsNoRaystream) {
  host::CommonConfig common;
  common.cluster_key = "0123456789abcdef0123456789abcdef";
  auto registry = metrics::Registry::create();
  actor::System actors(2);
  host::Env env{common, *registry, actors.get()};
  Config config;
  config.listen = "127.0.0.1:0";
  config.threads = 1;
  config.auth_peers = config.storage_peers = config.cache_peers =
      config.realtime_peers = {"127.0.0.1:1"};
  auto app = make_app(config, env);
  ASSERT_TRUE(app->start().ok());
  EXPECT_EQ(app->raystream_port(), 0);
  WsClient client(app->port());
  EXPECT_TRUE(client.handshake("/raystream").starts_with("HTTP/1.1 404 "));
  app->stop(0ms);

  config.raystream.listen = "127.0.0.1:0";
  const auto half = make_app(config, env)->start();
  ASSERT_FALSE(half.ok());
  EXPECT_NE(half.error().message.find("--raystream-keys"), std::string::npos);
  config.raystream.state_keys = {"no key at all"};
  EXPECT_FALSE(make_app(config, env)->start().ok());
  config.raystream.keys = {raystream::ServerKeys::generate("k")};
  config.raystream.state_keys = config.raystream.keys;
  const auto same = make_app(config, env)->start();
  ASSERT_FALSE(same.ok());
  EXPECT_NE(same.error().message.find("--raystream-state-keys"), std::string::npos);
  config.raystream.state_keys = {};
  config.raystream.keys = {"no key at all"};
  EXPECT_FALSE(make_app(config, env)->start().ok());
}

}  // namespace
}  // namespace raymesh::gateway
