// What strangers leave on the gateway's heap.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/raystream_client.hpp"
#include "tests/unit/gateway/raystream_gateway.hpp"

namespace raymesh::gateway {
namespace {

using namespace std::chrono_literals;
using raystream::FrameType;
using testing::Gateway;
using testing::RaystreamClient;
using testing::Transport;
using testing::WsClient;
namespace v1 = raymesh::raystream::v1;

size_t heap() {
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

Config for_many() {
  Config config;
  config.raystream.max_unattached_per_address = 1'000;
  config.raystream.address_handshake_burst = 1'000;
  config.raystream.handshake_timeout = config.raystream.attach_timeout = 60s;
  config.access_log = false;
  return config;
}

class RaystreamMemoryTest : public ::testing::TestWithParam<Transport> {};
INSTANTIATE_TEST_SUITE_P(Transports, RaystreamMemoryTest,
                         ::testing::Values(Transport::kTcp, Transport::kWebSocket),
                         [](const auto& tested) {
                           return tested.param == Transport::kTcp ? "Tcp" : "WebSocket";
                         });

TEST_P(RaystreamMemoryTest, WhatALargeFrameNeededDoesNotStayForTheBeginningOfASmallOne) {
  constexpr size_t kClients = 100;
  Gateway gateway(for_many());
  std::vector<RaystreamClient> clients;
  std::vector<std::string> rest;
  for (size_t i = 0; i < kClients; ++i) {
    RaystreamClient client(GetParam(), gateway.port(GetParam()));
    ASSERT_TRUE(client.shake_hands(gateway.client()));
    clients.push_back(std::move(client));
  }
  const size_t before = heap();
  for (RaystreamClient& client : clients) {
    v1::RpcCall call;
    call.set_call_id(1);
    call.set_method("no.such");
    call.set_args(std::string(15'000, 'x'));
    std::string frames = client.seal(FrameType::kRpcCall, call.SerializeAsString());
    const std::string next = client.seal(FrameType::kHeartbeat, {});
    if (GetParam() == Transport::kWebSocket) {
      frames = WsClient::frame(WsClient::Opcode::kBinary, frames);
      frames += WsClient::frame(WsClient::Opcode::kBinary, next)[0];
    } else {
      frames += next[0];
    }
    client.socket().send_raw(std::string_view(frames).substr(0, 8'000));
    rest.push_back(frames.substr(8'000));
  }
  // Most halves have been read by the time that the first rest comes.
  for (size_t i = 0; i < kClients; ++i) clients[i].socket().send_raw(rest[i]);
  for (RaystreamClient& client : clients)
    EXPECT_EQ(client.receive_error().error_code(), v1::NOT_FOUND);
  rest.clear();
  const size_t after = heap();
  EXPECT_LT(after, before + kClients * 6'000) << "from " << before << " to " << after;
}

TEST(RaystreamStrangersTest, WhoDoesNotReadIsNotAnsweredWithoutAnEnd) {
  constexpr size_t kClients = 8;
  Gateway gateway(for_many());
  std::string pings;
  for (int i = 0; i < 500; ++i)
    pings += WsClient::frame(WsClient::Opcode::kPing, std::string(125, 'p'));
  const size_t before = heap();
  std::vector<std::thread> clients;
  std::atomic<size_t> sent{0};
  for (size_t i = 0; i < kClients; ++i)
    clients.emplace_back([&] {
      WsClient client = WsClient::open(gateway.port(Transport::kWebSocket), "/raystream", 4'096);
      try {
        for (;;) client.send_raw(pings), sent += pings.size();
      } catch (const std::exception&) {
        // The gateway has stopped.
      }
    });
  // Until nobody gets anything through any more.
  size_t most = before;
  size_t last = 0;
  for (auto since = std::chrono::steady_clock::now();
       std::chrono::steady_clock::now() - since < 500ms; std::this_thread::sleep_for(5ms)) {
    most = std::max(most, heap());
    if (std::exchange(last, sent.load()) != sent.load()) since = std::chrono::steady_clock::now();
  }
  EXPECT_GT(last, 0u);
  EXPECT_LT(most, before + kClients * (512 << 10)) << "from " << before << " to " << most;
  gateway.stop();
  for (std::thread& client : clients) client.join();
}

}  // namespace
}  // namespace raymesh::gateway
