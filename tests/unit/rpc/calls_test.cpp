// Calls over the stream: answers, failures, sizes, time, cancellation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "tests/unit/rpc/echo_service.hpp"

namespace raymesh::rpc::test {
namespace {

using raymesh::test::v1::EchoReply;
using raymesh::test::v1::EchoRequest;
using raymesh::test::v1::MakeRequest;
using raymesh::test::v1::WhoReply;
using namespace std::chrono_literals;

EchoRequest request_of(std::string data) {
  EchoRequest request;
  request.set_data(std::move(data));
  return request;
}

TEST(CallsTest, AnswersOverTcp) {
  EchoServer server;
  auto peer = connect(server.peer_config());
  auto reply = echo(*peer, "hello");
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(*reply, "hello");
  EXPECT_TRUE(peer->ready());
}

TEST(CallsTest, AnswersOverAUnixSocket) {
  char folder[] = "/tmp/raymesh-rpc-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  auto config = EchoServer::config();
  config.address = "unix:" + std::string(folder) + "/echo.sock";
  {
    EchoServer server(config);
    auto peer = connect(server.peer_config());
    auto reply = echo(*peer, "hello");
    ASSERT_TRUE(reply.ok()) << reply.error().message;
    EXPECT_EQ(*reply, "hello");
  }
  std::filesystem::remove_all(folder);
}

TEST(CallsTest, AnswersInProcess) {
  auto config = EchoServer::config();
  config.address = "";
  EchoServer server(config);
  PeerConfig peer_config;
  peer_config.service = kEchoName;
  auto peer = in_process_peer(peer_config, *server.server);
  auto reply = echo(*peer, "hello");
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(*reply, "hello");
}

TEST(CallsTest, CarriesAFailureWithItsCodeAndRetryAfter) {
  EchoServer server;
  auto peer = connect(server.peer_config());
  auto reply = call<EchoReply>(*peer, "Fail", request_of("such row"));
  ASSERT_FALSE(reply.ok());
  EXPECT_TRUE(reply.error().is(errors::kNotFound));
  EXPECT_EQ(reply.error().message, "no such row");
  EXPECT_EQ(reply.error().retry_after.count(), 1500);
}

TEST(CallsTest, CarriesLargeRequestsAndReplies) {
  EchoServer server;
  auto peer = connect(server.peer_config());
  std::string data(5'000'000, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 31 >> 3);
  auto reply = echo(*peer, data);
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_TRUE(*reply == data);
}

TEST(CallsTest, AForgottenResponderAnswersInternal) {
  EchoServer server;
  auto peer = connect(server.peer_config());
  auto reply = call<EchoReply>(*peer, "Forget", request_of(""));
  ASSERT_FALSE(reply.ok());
  EXPECT_TRUE(reply.error().is(errors::kInternal));
}

// An answer of 8 MiB and thousands of small calls on one stream: the small ones do not wait for it.
TEST(CallsTest, ALargeReplyDoesNotHoldUpSmallOnes) {
  EchoServer server;
  auto config = server.peer_config();
  auto peer = connect(config);
  ASSERT_TRUE(echo(*peer, "up").ok());
  MakeRequest make;
  make.set_bytes(8u << 20);
  auto large = start_call<EchoReply>(*peer, "Make", make);
  // 50 small calls at a time, in a chain each, so that they are asked while the large one is sent.
  std::atomic<int> done_before_large{0};
  std::atomic<int> wrong{0};
  std::atomic<bool> large_done{false};
  constexpr int kChains = 50;
  std::atomic<int> running{kChains};
  std::promise<void> finished;
  std::function<void()> next = [&] {
    peer->call<EchoReply>("Echo", {}, request_of("small"), {}, [&](Result<EchoReply> r) {
      if (!r.ok() || r->data() != "small") ++wrong;
      if (!large_done) {
        ++done_before_large;
        return next();
      }
      if (--running == 0) finished.set_value();
    });
  };
  for (int i = 0; i < kChains; ++i) next();
  auto reply = large.get();
  large_done = true;
  finished.get_future().wait();
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(reply->data().size(), 8u << 20);
  EXPECT_EQ(wrong, 0);
  // The large reply takes 256 batches, and each has room for many small ones; with a 256 KiB window
  // it also waits for 60 Credits. Held up, there would be none at all.
  EXPECT_GT(done_before_large, 1'000);
}

TEST(CallsTest, ThousandsAtOnceAreAllAnsweredRight) {
  EchoServer server;
  auto peer = connect(server.peer_config());
  std::vector<Pending<EchoReply>> pending;
  for (int i = 0; i < 20'000; ++i)
    pending.push_back(
        start_call<EchoReply>(*peer, "Echo", request_of(std::to_string(i)), {.timeout = 20s}));
  for (int i = 0; i < 20'000; ++i) {
    auto reply = pending[static_cast<size_t>(i)].get();
    ASSERT_TRUE(reply.ok()) << reply.error().message;
    EXPECT_EQ(reply->data(), std::to_string(i));
  }
}

TEST(CallsTest, ManyThreadsMayCall) {
  EchoServer server;
  auto peer = connect(server.peer_config());
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const std::string data(static_cast<size_t>((i * 997 + t) % 50'000), 'd');
        auto reply = echo(*peer, data);
        if (reply.ok() && *reply == data) ++good;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 4'000);
}

TEST(CallsTest, ManyLargeOnesAtOnce) {
  EchoServer server;
  auto peer = connect(server.peer_config());
  std::vector<Pending<EchoReply>> pending;
  for (int i = 0; i < 20; ++i)
    pending.push_back(start_call<EchoReply>(
        *peer, "Echo", request_of(std::string(1'000'000, static_cast<char>('a' + i)))));
  for (int i = 0; i < 20; ++i) {
    auto reply = pending[static_cast<size_t>(i)].get();
    ASSERT_TRUE(reply.ok()) << reply.error().message;
    EXPECT_TRUE(reply->data() == std::string(1'000'000, static_cast<char>('a' + i)));
  }
}

TEST(CallsTest, ATimeoutIsAnsweredAndTheServiceIsTold) {
  EchoServer server;
  auto peer = connect(server.peer_config());
  auto reply = call<EchoReply>(*peer, "Hold", EchoRequest(), {.timeout = 50ms});
  ASSERT_FALSE(reply.ok());
  EXPECT_TRUE(reply.error().is(errors::kDeadlineExceeded));
  server.held->wait_for(1);
  while (!server.held->calls().front()->cancelled()) std::this_thread::yield();
  server.held->answer("too late");
  EXPECT_TRUE(echo(*peer, "next").ok());
}

TEST(CallsTest, CancellingAnswersTheCallerAndTellsTheService) {
  EchoServer server;
  auto peer = connect(server.peer_config());
  auto pending = start_call<EchoReply>(*peer, "Hold", EchoRequest());
  server.held->wait_for(1);
  peer->cancel(pending.ticket);
  auto reply = pending.get();
  ASSERT_FALSE(reply.ok());
  EXPECT_TRUE(reply.error().is(errors::kCancelled));
  while (!server.held->calls().front()->cancelled()) std::this_thread::yield();
  server.held->answer("too late");
  peer->cancel(pending.ticket);  // again, and for what never was: nothing happens
  peer->cancel(0);
  peer->cancel(~0ull);
  EXPECT_TRUE(echo(*peer, "next").ok());
}

TEST(CallsTest, RefusesAtOnceWhatCannotBe) {
  EchoServer server;
  auto config = server.peer_config();
  config.limits.max_request_bytes = 1'000;
  config.limits.max_reply_bytes = 100'000;
  auto peer = connect(config);
  auto large = start_call<EchoReply>(*peer, "Echo", request_of(std::string(2'000, 'x')));
  EXPECT_EQ(large.ticket, 0u);
  EXPECT_TRUE(large.get().error().is(errors::kMessageTooLarge));
  auto late = start_call<EchoReply>(*peer, "Echo", request_of("x"), {.timeout = 0ms});
  EXPECT_EQ(late.ticket, 0u);
  EXPECT_TRUE(late.get().error().is(errors::kDeadlineExceeded));
  MakeRequest make;
  make.set_bytes(200'000);
  auto reply = call<EchoReply>(*peer, "Make", make);
  ASSERT_FALSE(reply.ok());
  EXPECT_TRUE(reply.error().is(errors::kMessageTooLarge));
  peer->close();
  EXPECT_TRUE(echo(*peer, "x").error().is(errors::kUnavailable));
}

TEST(CallsTest, AReplyAboveTheServicesLimitIsAnError) {
  auto config = EchoServer::config();
  config.limits.max_reply_bytes = 100'000;
  EchoServer server(config);
  auto peer = connect(server.peer_config());
  MakeRequest make;
  make.set_bytes(200'000);
  auto reply = call<EchoReply>(*peer, "Make", make);
  ASSERT_FALSE(reply.ok());
  EXPECT_TRUE(reply.error().is(errors::kMessageTooLarge));
}

TEST(CallsTest, CapsOnTheCallersSide) {
  EchoServer server;
  auto config = server.peer_config();
  config.limits.max_calls = 10;
  config.limits.max_calls_per_project = 4;
  auto peer = connect(config);
  common::v1::CallContext greedy;
  greedy.set_project("greedy");
  std::vector<Pending<EchoReply>> pending;
  for (int i = 0; i < 4; ++i)
    pending.push_back(start_call<EchoReply>(*peer, "Hold", EchoRequest(), {}, greedy));
  auto fifth = call<EchoReply>(*peer, "Hold", EchoRequest(), {}, greedy);
  ASSERT_FALSE(fifth.ok());
  EXPECT_TRUE(fifth.error().is(errors::kOverloaded));
  EXPECT_GT(fifth.error().retry_after.count(), 0);
  for (int i = 0; i < 6; ++i)
    pending.push_back(start_call<EchoReply>(*peer, "Hold", EchoRequest()));
  EXPECT_TRUE(echo(*peer, "x").error().is(errors::kOverloaded));
  server.held->wait_for(10);
  server.held->answer_all("x");
  for (auto& p : pending) EXPECT_TRUE(p.get().ok());
  EXPECT_TRUE(echo(*peer, "room again").ok());
}

TEST(CallsTest, CarriesContextTraceAndDeadline) {
  EchoServer server;
  auto peer = connect(server.peer_config());
  common::v1::CallContext context;
  context.set_project("p1");
  context.set_user("u1");
  context.set_session("s1");
  context.set_request_id("r-1");
  context.set_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  auto reply = call<WhoReply>(*peer, "Who", EchoRequest(), {.timeout = 5s}, context);
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(reply->kind(), "gateway");
  EXPECT_EQ(reply->project(), "p1");
  EXPECT_EQ(reply->user(), "u1");
  EXPECT_EQ(reply->request_id(), "r-1");
  EXPECT_EQ(reply->trace_id(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_NE(reply->span_id(), "b7ad6b7169203331");
  EXPECT_GT(reply->remaining_ms(), 0);
  EXPECT_LE(reply->remaining_ms(), 5'000);
}

TEST(CallsTest, ClosingThePeerAnswersWhatIsInFlight) {
  EchoServer server;
  auto peer = connect(server.peer_config());
  auto pending = start_call<EchoReply>(*peer, "Hold", EchoRequest());
  server.held->wait_for(1);
  peer.reset();
  auto reply = pending.get();
  ASSERT_FALSE(reply.ok());
  EXPECT_TRUE(reply.error().is(errors::kUnavailable));
  server.held->answer("too late");
}

TEST(CallsTest, ThePeerMayGoInACompletion) {
  EchoServer server;
  auto peer = connect(server.peer_config());
  ASSERT_TRUE(echo(*peer, "up").ok());
  std::promise<void> done;
  Peer* raw = peer.get();
  raw->call<EchoReply>("Echo", {}, request_of("x"), {},
                       [peer = std::move(peer), &done](Result<EchoReply>) mutable {
                         peer.reset();
                         done.set_value();
                       });
  done.get_future().wait();
}

TEST(CallsTest, CountsCallsByMethodAndCode) {
  auto registry = metrics::Registry::create();
  auto config = EchoServer::config();
  config.metrics = registry.get();
  EchoServer server(config);
  auto peer_config = server.peer_config();
  peer_config.metrics = registry.get();
  auto peer = connect(peer_config);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(echo(*peer, "x").ok());
  (void)call<EchoReply>(*peer, "Fail", request_of("x"));
  const std::string text = registry->render();
  for (const char* side : {"client", "server"}) {
    const std::string calls = "raymesh_rpc_" + std::string(side) + "_calls_total{";
    EXPECT_THAT(text,
                testing::HasSubstr(calls + "code=\"ok\",method=\"Echo\",service=\"test\"} 3"));
    EXPECT_THAT(
        text, testing::HasSubstr(calls + "code=\"not_found\",method=\"Fail\",service=\"test\"} 1"));
    EXPECT_THAT(text, testing::HasSubstr("raymesh_rpc_" + std::string(side) +
                                         "_streams{service=\"test\"} 1"));
  }
}

}  // namespace
}  // namespace raymesh::rpc::test
