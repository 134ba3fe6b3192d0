// Calls over the stream: answers, failures, sizes, time, cancellation.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "tests/unit/rpc/echo_service.hpp"

namespace raymesh::rpc::test {
namespace {

using raymesh::test::v1::EchoReply;
using raymesh::test::v1::EchoRequest;
using raymesh::test::v1::MakeRequest;

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
  auto peer = in_process_peer(peer_config, server.server->in_process_channel());
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

}  // namespace
}  // namespace raymesh::rpc::test
