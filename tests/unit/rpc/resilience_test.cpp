// Services that go and come back: what is repeated, what is not, how soon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <thread>

#include "tests/unit/rpc/echo_service.hpp"
#include "tests/unit/rpc/server_process.hpp"

namespace raymesh::rpc::test {
namespace {

using raymesh::test::v1::EchoReply;
using raymesh::test::v1::EchoRequest;
using std::chrono::milliseconds;
using std::chrono::seconds;

const CallOptions kRead{.timeout = seconds(20), .repeat = Repeat::kSafe};
const CallOptions kWrite{.timeout = seconds(20), .repeat = Repeat::kNever};

TEST(ResilienceTest, AKilledServiceMakesASentWriteUnknownAndARead503OnlyAtItsTimeout) {
  ServerProcess server;
  auto peer = connect(server.peer_config());
  ASSERT_TRUE(echo(*peer, "up").ok());
  auto write = start_call<EchoReply>(*peer, "Hold", EchoRequest(), kWrite);
  auto read = start_call<EchoReply>(*peer, "Hold", EchoRequest(),
                                    {.timeout = milliseconds(1500), .repeat = Repeat::kSafe});
  ASSERT_TRUE(echo(*peer, "both were sent before this").ok());
  server.kill();
  auto unknown = write.get();
  ASSERT_FALSE(unknown.ok());
  EXPECT_TRUE(unknown.error().is(errors::kOutcomeUnknown)) << unknown.error().message;
  auto late = read.get();
  ASSERT_FALSE(late.ok());
  EXPECT_TRUE(late.error().is(errors::kDeadlineExceeded)) << late.error().message;
}

TEST(ResilienceTest, ReadsAreRepeatedOnTheRestartedService) {
  auto server = std::make_unique<ServerProcess>();
  const std::string address = server->address();
  auto peer = connect(server->peer_config());
  ASSERT_TRUE(echo(*peer, "up").ok());
  std::vector<Pending<EchoReply>> reads;
  EchoRequest request;
  request.set_data("read");
  server->pause();  // they are sent, and no answer comes
  for (int i = 0; i < 100; ++i)
    reads.push_back(start_call<EchoReply>(*peer, "Echo", request, kRead));
  server->kill();
  ServerProcess again(address);
  for (auto& read : reads) {
    auto reply = read.get();
    ASSERT_TRUE(reply.ok()) << reply.error().message;
    EXPECT_EQ(reply->data(), "read");
  }
}

TEST(ResilienceTest, AServiceThatWasDownForLongIsUsedAgain) {
  auto server = std::make_unique<ServerProcess>();
  const std::string address = server->address();
  auto config = server->peer_config();
  config.limits.max_wait = seconds(3);
  auto peer = connect(config);
  ASSERT_TRUE(echo(*peer, "up").ok());
  server->kill();
  // Down long enough for the backoff to grow to its most.
  const auto down_since = Clock::now();
  while (Clock::now() - down_since < seconds(3)) {
    auto refused = echo(*peer, "?", {.timeout = seconds(10)});
    ASSERT_FALSE(refused.ok());
    // The first one may have been sent before the end was noticed.
    EXPECT_TRUE(refused.error().is(errors::kUnavailable) ||
                refused.error().is(errors::kOutcomeUnknown))
        << refused.error().message;
    EXPECT_GT(refused.error().retry_after.count(), 0);
  }
  ServerProcess again(address);
  auto reply = echo(*peer, "back", kRead);
  // The call waited for 3 s at most, and no pause between attempts is longer than 1 s.
  ASSERT_TRUE(reply.ok()) << reply.error().message;
}

TEST(ResilienceTest, ASilentServiceIsTimedOutLocally) {
  ServerProcess server;
  auto peer = connect(server.peer_config());
  ASSERT_TRUE(echo(*peer, "up").ok());
  server.pause();
  const auto start = Clock::now();
  auto reply = echo(*peer, "?", {.timeout = milliseconds(200)});
  ASSERT_FALSE(reply.ok());
  EXPECT_TRUE(reply.error().is(errors::kDeadlineExceeded));
  EXPECT_GE(Clock::now() - start, milliseconds(200));
  server.signal(SIGCONT);
  EXPECT_TRUE(echo(*peer, "awake").ok());
}

TEST(ResilienceTest, NoEndpointUpIsUnavailableAfterABoundedWait) {
  std::string address;
  {
    ServerProcess server;
    address = server.address();
  }
  PeerConfig config;
  config.service = kEchoName;
  config.endpoints = {address};
  config.limits.max_wait = milliseconds(100);
  auto peer = connect(config);
  EXPECT_FALSE(peer->ready());
  auto reply = echo(*peer, "?", {.timeout = seconds(60)});
  ASSERT_FALSE(reply.ok());
  EXPECT_TRUE(reply.error().is(errors::kUnavailable));
  EXPECT_GT(reply.error().retry_after.count(), 0);
}

TEST(ResilienceTest, ACallBeforeTheServiceIsUpWaitsForIt) {
  char folder[] = "/tmp/raymesh-rpc-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string address = "unix:" + std::string(folder) + "/s";
  PeerConfig config;
  config.service = kEchoName;
  config.endpoints = {address};
  config.limits.max_wait = seconds(20);
  auto peer = connect(config);
  EchoRequest request;
  request.set_data("early");
  auto pending = start_call<EchoReply>(*peer, "Echo", request, kWrite);
  ServerProcess server(address);
  auto reply = pending.get();
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(reply->data(), "early");
}

TEST(ResilienceTest, ACleanStopLosesNothing) {
  auto server = std::make_unique<ServerProcess>();
  const std::string address = server->address();
  auto config = server->peer_config();
  auto peer = connect(config);
  ASSERT_TRUE(echo(*peer, "up").ok());
  // Writes all the time, through a stop and a restart: not one may fail.
  std::atomic<bool> stop{false};
  std::atomic<int> good{0};
  std::vector<std::string> failures;
  std::thread writer([&] {
    while (!stop) {
      auto reply = echo(*peer, "write", kWrite);
      if (reply.ok())
        ++good;
      else
        failures.push_back(reply.error().message);
    }
  });
  while (good < 100) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  server->signal(SIGTERM);
  EXPECT_EQ(server->wait(), 0);
  ServerProcess again(address);
  const int before = good;
  while (good < before + 100 && failures.empty())
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  stop = true;
  writer.join();
  EXPECT_THAT(failures, testing::IsEmpty());
}

TEST(ResilienceTest, CallsInFlightAreAnsweredDuringADrain) {
  EchoServer server;
  auto peer = connect(server.peer_config());
  auto held = start_call<EchoReply>(*peer, "Hold", EchoRequest(), kWrite);
  server.held->wait_for(1);
  std::thread stopping([&] { server.server->stop(seconds(20)); });
  while (peer->ready()) std::this_thread::yield();  // the Drain has come
  EXPECT_FALSE(held.done());
  server.held->answer("in time");
  auto reply = held.get();
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(reply->data(), "in time");
  stopping.join();
}

TEST(ResilienceTest, AStopDoesNotWaitLongerThanItsGrace) {
  EchoServer server;
  auto peer = connect(server.peer_config());
  auto held = start_call<EchoReply>(*peer, "Hold", EchoRequest(), kWrite);
  server.held->wait_for(1);
  server.server->stop(milliseconds(50));
  auto reply = held.get();
  ASSERT_FALSE(reply.ok());
  EXPECT_TRUE(reply.error().is(errors::kOutcomeUnknown));
  EXPECT_TRUE(server.held->calls().front()->cancelled());
  server.held->answer("too late");  // reaches nobody, and does no harm
}

TEST(ResilienceTest, SpreadsCallsOverEndpointsAndKeepsAffinity) {
  EchoServer first;
  EchoServer second;
  PeerConfig config;
  config.service = kEchoName;
  config.endpoints = {first.address(), second.address()};
  auto peer = connect(config);
  // Both streams are up once held calls have reached both.
  std::vector<Pending<EchoReply>> pending;
  while (first.held->count() == 0 || second.held->count() == 0) {
    const size_t before = first.held->count() + second.held->count();
    pending.push_back(start_call<EchoReply>(*peer, "Hold", EchoRequest(), kWrite));
    while (first.held->count() + second.held->count() == before) std::this_thread::yield();
  }
  // The fewest in flight: from now on both get the same number.
  const size_t more = std::max(first.held->count(), second.held->count()) * 2 + 10;
  while (pending.size() < more)
    pending.push_back(start_call<EchoReply>(*peer, "Hold", EchoRequest(), kWrite));
  first.held->wait_for(more / 2);
  second.held->wait_for(more / 2);
  first.held->answer_all("x");
  second.held->answer_all("x");
  for (auto& p : pending) EXPECT_TRUE(p.get().ok());
  pending.clear();

  for (uint64_t key = 1; key <= 20; ++key)
    for (int i = 0; i < 5; ++i)
      pending.push_back(start_call<EchoReply>(*peer, "Hold", EchoRequest(),
                                              {.timeout = seconds(20), .affinity = key}));
  while (first.held->count() + second.held->count() < 100) std::this_thread::yield();
  EXPECT_EQ(first.held->count() % 5, 0u);  // a key is never split
  EXPECT_GT(first.held->count(), 0u);
  EXPECT_GT(second.held->count(), 0u);
  first.held->answer_all("x");
  second.held->answer_all("x");
  for (auto& p : pending) EXPECT_TRUE(p.get().ok());
}

TEST(ResilienceTest, TheOtherEndpointTakesOver) {
  auto first = std::make_unique<ServerProcess>();
  ServerProcess second;
  PeerConfig config;
  config.service = kEchoName;
  config.endpoints = {first->address(), second.address()};
  auto peer = connect(config);
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(echo(*peer, "x", kRead).ok());
  first->pause();
  std::vector<Pending<EchoReply>> reads;
  for (int i = 0; i < 50; ++i)
    reads.push_back(start_call<EchoReply>(*peer, "Echo", EchoRequest(), kRead));
  first->kill();
  for (auto& read : reads) EXPECT_TRUE(read.get().ok());
}

TEST(ResilienceTest, FindsTheServiceByName) {
  ServerProcess server("127.0.0.1:0");
  auto config = server.peer_config();
  const std::string port = server.address().substr(server.address().rfind(':') + 1);
  config.endpoints = {"dns:localhost:" + port};
  config.limits.max_wait = seconds(20);
  auto peer = connect(config);
  auto reply = echo(*peer, "by name", kWrite);
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(*reply, "by name");
}

TEST(ResilienceTest, RefusesMalformedEndpoints) {
  for (const char* endpoint : {"", "localhost", "localhost:", "localhost:0", "localhost:99999",
                               "dns:localhost", ":5002", "unix:", "127.0.0.1:5002x"}) {
    PeerConfig config;
    config.service = kEchoName;
    config.endpoints = {endpoint};
    auto peer = connect_peer(config, {{}, kClusterKey});
    ASSERT_FALSE(peer.ok()) << endpoint;
    EXPECT_TRUE(peer.error().is(errors::kInvalidValue));
  }
}

}  // namespace
}  // namespace raymesh::rpc::test
