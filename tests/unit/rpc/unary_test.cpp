// The unary door, as any gRPC program sees it: status, error details, deadlines, health,
// reflection.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <thread>

#include "echo.grpc.pb.h"
#include "libs/rpc/credentials.hpp"
#include "tests/unit/rpc/echo_service.hpp"
#include "tests/unit/rpc/standard_services.hpp"

namespace raymesh::rpc::test {
namespace {

using raymesh::test::v1::Echo;
using raymesh::test::v1::EchoReply;
using raymesh::test::v1::EchoRequest;
using raymesh::test::v1::MakeRequest;
using raymesh::test::v1::WhoReply;

class UnaryTest : public testing::Test {
 protected:
  std::unique_ptr<grpc::ClientContext> context() {
    auto c = std::make_unique<grpc::ClientContext>();
    c->AddMetadata(kClusterKeyMetadata, kClusterKey);
    c->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return c;
  }
  static common::v1::Error error_of(const grpc::ClientContext& c) {
    common::v1::Error error;
    auto it = c.GetServerTrailingMetadata().find("raymesh-error-bin");
    if (it != c.GetServerTrailingMetadata().end()) {
      EXPECT_TRUE(error.ParseFromString({it->second.data(), it->second.size()}));
    }
    return error;
  }

  EchoServer server_;
  std::shared_ptr<grpc::Channel> channel_ =
      grpc::CreateChannel(server_.address(), grpc::InsecureChannelCredentials());
  std::unique_ptr<Echo::Stub> stub_ = Echo::NewStub(channel_);
};

TEST_F(UnaryTest, Answers) {
  auto c = context();
  EchoRequest request;
  request.set_data("hello");
  EchoReply reply;
  const auto status = stub_->Echo(c.get(), request, &reply);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(reply.data(), "hello");
}

TEST_F(UnaryTest, AFailureHasItsStatusAndItsDetails) {
  auto c = context();
  EchoRequest request;
  request.set_data("such row");
  EchoReply reply;
  const auto status = stub_->Fail(c.get(), request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no such row");
  const auto error = error_of(*c);
  EXPECT_EQ(error.code(), "not_found");
  EXPECT_EQ(error.retry_after_ms(), 1500u);
}

TEST_F(UnaryTest, CarriesContextTraceAndDeadline) {
  auto c = context();
  EchoRequest request;
  auto* context_message = request.mutable_context();
  context_message->set_project("p1");
  context_message->set_user("u1");
  context_message->set_request_id("r-1");
  context_message->set_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  WhoReply reply;
  const auto status = stub_->Who(c.get(), request, &reply);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(reply.kind(), "gateway");
  EXPECT_EQ(reply.project(), "p1");
  EXPECT_EQ(reply.user(), "u1");
  EXPECT_EQ(reply.request_id(), "r-1");
  EXPECT_EQ(reply.trace_id(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_NE(reply.span_id(), "b7ad6b7169203331");  // a child of it
  EXPECT_GT(reply.remaining_ms(), 0);
  EXPECT_LE(reply.remaining_ms(), 21'000);  // gRPC rounds a long timeout up
}

TEST_F(UnaryTest, ADeadlineReachesTheHandler) {
  auto c = context();
  c->set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  EchoReply reply;
  const auto status = stub_->Hold(c.get(), EchoRequest(), &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  server_.held->wait_for(1);
  while (!server_.held->calls().front()->cancelled()) std::this_thread::yield();
  server_.held->answer("too late");
}

TEST_F(UnaryTest, CancellingReachesTheHandler) {
  auto c = context();
  EchoReply reply;
  std::thread caller([&] {
    EXPECT_EQ(stub_->Hold(c.get(), EchoRequest(), &reply).error_code(),
              grpc::StatusCode::CANCELLED);
  });
  server_.held->wait_for(1);
  c->TryCancel();
  caller.join();
  while (!server_.held->calls().front()->cancelled()) std::this_thread::yield();
  server_.held->answer("too late");
}

TEST_F(UnaryTest, AForgottenResponderAnswersInternal) {
  auto c = context();
  EchoReply reply;
  EXPECT_EQ(stub_->Forget(c.get(), EchoRequest(), &reply).error_code(), grpc::StatusCode::INTERNAL);
}

TEST_F(UnaryTest, AMessageAboveTheLimitIsRefused) {
  auto c = context();
  EchoRequest request;
  request.set_data(std::string(5u << 20, 'x'));
  EchoReply reply;
  EXPECT_EQ(stub_->Echo(c.get(), request, &reply).error_code(), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_EQ(error_of(*c).code(), "message_too_large");
}

TEST_F(UnaryTest, AStopCancelsWhatIsHeldAfterItsGrace) {
  auto c = context();
  EchoReply reply;
  grpc::Status status;
  std::thread caller([&] { status = stub_->Hold(c.get(), EchoRequest(), &reply); });
  server_.held->wait_for(1);
  server_.server->stop(std::chrono::milliseconds(50));
  caller.join();
  EXPECT_FALSE(status.ok());
  server_.held->answer("too late");
}

TEST_F(UnaryTest, AStopWaitsForUnaryCallsInItsGrace) {
  auto c = context();
  EchoReply reply;
  grpc::Status status;
  std::thread caller([&] { status = stub_->Hold(c.get(), EchoRequest(), &reply); });
  server_.held->wait_for(1);
  std::thread stopping([&] { server_.server->stop(std::chrono::seconds(20)); });
  // Serving is off first.
  while (check_health(channel_, "") == "SERVING") std::this_thread::yield();
  server_.held->answer("in time");
  caller.join();
  stopping.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(UnaryTest, HealthIsStandard) {
  EXPECT_EQ(check_health(channel_, ""), "SERVING");
  EXPECT_EQ(check_health(channel_, kEchoName), "SERVING");
  EXPECT_EQ(check_health(channel_, "no.such.Service"), "NOT_FOUND");
  server_.server->set_serving(false);
  EXPECT_EQ(check_health(channel_, ""), "NOT_SERVING");
  EXPECT_EQ(check_health(channel_, kEchoName), "NOT_SERVING");
  server_.server->set_serving(true);
  EXPECT_EQ(check_health(channel_, kEchoName), "SERVING");
}

TEST_F(UnaryTest, ReflectionListsTheService) {
  EXPECT_THAT(list_services(channel_),
              testing::IsSupersetOf({std::string(kEchoName), std::string("grpc.health.v1.Health"),
                                     std::string("grpc.reflection.v1alpha.ServerReflection")}));
}

}  // namespace
}  // namespace raymesh::rpc::test
