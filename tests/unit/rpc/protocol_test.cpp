// The service's end of the stream against a client that breaks the rules.
#include <gtest/gtest.h>

#include <grpcpp/generic/generic_stub.h>

#include <random>

#include "libs/rpc/frames.hpp"
#include "tests/unit/rpc/raw_stream.hpp"

namespace raymesh::rpc::test {
namespace {

using common::v1::ClientBatch;
using common::v1::ClientFrame;
using common::v1::ServerFrame;

class ProtocolTest : public testing::Test {
 protected:
  void expect_error(const ServerFrame& frame, uint64_t id, const char* code) {
    EXPECT_EQ(frame.id(), id);
    EXPECT_EQ(frame.error().code(), code) << frame.ShortDebugString();
  }
  // The stream still works: the last word of most tests.
  void expect_alive(uint64_t id) {
    raw_.send(call_frame(id, "Echo", "alive"));
    const auto frame = raw_.receive();
    EXPECT_EQ(frame.id(), id);
    raymesh::test::v1::EchoReply reply;
    ASSERT_TRUE(reply.ParseFromString(frame.chunk().payload())) << frame.ShortDebugString();
    EXPECT_EQ(reply.data(), "alive");
  }

  EchoServer server_;
  RawStream raw_{server_.address()};
};

TEST_F(ProtocolTest, AnUnknownMethodEndsJustThatCall) {
  raw_.send(call_frame(1, "Nonsense"));
  expect_error(raw_.receive(), 1, "unknown_method");
  raw_.send(call_frame(2, "Calls"));
  expect_error(raw_.receive(), 2, "unknown_method");
  expect_alive(3);
}

TEST_F(ProtocolTest, ACallWithoutTimeoutIsRefused) {
  auto frame = call_frame(1, "Echo");
  frame.mutable_call()->clear_timeout_ms();
  raw_.send(frame);
  expect_error(raw_.receive(), 1, "invalid_request");
  expect_alive(2);
}

TEST_F(ProtocolTest, AnIdIsNeverUsedTwice) {
  raw_.send(call_frame(5, "Echo"));
  raw_.receive();
  raw_.send(call_frame(5, "Echo"));
  expect_error(raw_.receive(), 5, "invalid_request");
  raw_.send(call_frame(4, "Echo"));
  expect_error(raw_.receive(), 4, "invalid_request");
  raw_.send(call_frame(0, "Echo"));
  expect_error(raw_.receive(), 0, "invalid_request");
  expect_alive(6);
}

TEST_F(ProtocolTest, UsingTheIdOfACallUnderWayEndsThatCall) {
  raw_.send(call_frame(1, "Hold"));
  server_.held->wait_for(1);
  raw_.send(call_frame(1, "Echo"));
  expect_error(raw_.receive(), 1, "invalid_request");
  EXPECT_TRUE(server_.held->calls().front()->cancelled());
  server_.held->answer("too late");
  expect_alive(2);
}

TEST_F(ProtocolTest, AChunkForNoCallIsAnError) {
  ClientFrame frame;
  frame.set_id(9);
  frame.mutable_chunk()->set_payload("x");
  raw_.send(frame);
  expect_error(raw_.receive(), 9, "invalid_request");
  expect_alive(10);
}

TEST_F(ProtocolTest, AChunkAfterTheEndOfARequestEndsTheCall) {
  raw_.send(call_frame(1, "Hold"));
  server_.held->wait_for(1);
  ClientFrame frame;
  frame.set_id(1);
  frame.mutable_chunk()->set_payload("x");
  raw_.send(frame);
  expect_error(raw_.receive(), 1, "invalid_request");
  server_.held->answer("too late");
  expect_alive(2);
}

TEST_F(ProtocolTest, AnEmptyFrameAndAnUnknownKindAreErrors) {
  ClientFrame empty;
  empty.set_id(1);
  raw_.send(empty);
  expect_error(raw_.receive(), 1, "invalid_request");
  raw_.send(ClientFrame());
  expect_error(raw_.receive(), 0, "invalid_request");
  ClientFrame unknown;
  unknown.set_id(2);
  unknown.GetReflection()->MutableUnknownFields(&unknown)->AddLengthDelimited(77, "future");
  raw_.send(unknown);
  expect_error(raw_.receive(), 2, "invalid_request");
  raw_.send(ClientBatch());  // nothing in it: nothing happens
  expect_alive(3);
}

TEST_F(ProtocolTest, ARequestThatDoesNotParseIsAnError) {
  auto frame = call_frame(1, "Echo");
  frame.mutable_call()->set_payload("\xff\xff\xff");
  raw_.send(frame);
  expect_error(raw_.receive(), 1, "invalid_request");
  expect_alive(2);
}

TEST_F(ProtocolTest, CreditAndCancelForNoCallAreIgnored) {
  ClientBatch batch;
  auto* credit = batch.add_frames();
  credit->set_id(77);
  credit->mutable_credit()->set_bytes(0xffffffff);
  auto* cancel = batch.add_frames();
  cancel->set_id(78);
  cancel->mutable_cancel();
  raw_.send(batch);
  expect_alive(1);
}

TEST_F(ProtocolTest, ARequestInChunksWaitsForCredit) {
  raymesh::test::v1::EchoRequest request;
  request.set_data(std::string(600'000, 'r'));
  const std::string bytes = request.SerializeAsString();
  auto frame = call_frame(1, "Echo");
  frame.mutable_call()->set_payload(bytes.substr(0, 10'000));
  frame.mutable_call()->set_more(true);
  raw_.send(frame);
  size_t sent = 10'000;
  size_t credit = frames::kRequestCredit - 10'000;
  size_t received = 0;
  for (bool more = true; more;) {
    while (credit > 0 && sent < bytes.size()) {
      const size_t n = std::min({credit, bytes.size() - sent, frames::kChunkBytes});
      ClientFrame chunk;
      chunk.set_id(1);
      chunk.mutable_chunk()->set_payload(bytes.substr(sent, n));
      sent += n;
      credit -= n;
      chunk.mutable_chunk()->set_more(sent < bytes.size());
      raw_.send(chunk);
    }
    const auto reply = raw_.receive();
    ASSERT_EQ(reply.id(), 1u);
    ASSERT_FALSE(reply.has_error()) << reply.ShortDebugString();
    credit += reply.credit().bytes();
    received += reply.chunk().payload().size();
    more = !reply.has_chunk() || reply.chunk().more();
  }
  EXPECT_GT(received, 600'000u);
}

TEST_F(ProtocolTest, AChunkAboveItsSizeEndsTheCall) {
  auto frame = call_frame(1, "Echo");
  frame.mutable_call()->set_more(true);
  raw_.send(frame);
  ClientFrame chunk;
  chunk.set_id(1);
  chunk.mutable_chunk()->set_payload(std::string(frames::kChunkBytes + 1, 'x'));
  raw_.send(chunk);
  expect_error(raw_.receive(), 1, "invalid_request");
  expect_alive(2);
}

TEST_F(ProtocolTest, AReplyStopsAtItsCredit) {
  auto frame = call_frame(1, "Make");
  raymesh::test::v1::MakeRequest request;
  request.set_bytes(100'000);
  frame.mutable_call()->set_payload(request.SerializeAsString());
  frame.mutable_call()->set_credit(50'000);
  raw_.send(frame);
  size_t got = 0;
  while (got < 50'000) {
    const auto reply = raw_.receive();
    ASSERT_TRUE(reply.chunk().more());
    got += reply.chunk().payload().size();
  }
  EXPECT_EQ(got, 50'000u);
  expect_alive(2);  // nothing of call 1 comes before this
  ClientFrame credit;
  credit.set_id(1);
  credit.mutable_credit()->set_bytes(1'000'000);
  raw_.send(credit);
  for (bool more = true; more;) {
    const auto reply = raw_.receive();
    ASSERT_EQ(reply.id(), 1u);
    got += reply.chunk().payload().size();
    more = reply.chunk().more();
  }
  EXPECT_GT(got, 100'000u);
}

TEST_F(ProtocolTest, AReplyWithoutCreditTimesOutAndFreesItsMemory) {
  auto frame = call_frame(1, "Make");
  raymesh::test::v1::MakeRequest request;
  request.set_bytes(1'000);
  frame.mutable_call()->set_payload(request.SerializeAsString());
  frame.mutable_call()->set_credit(0);
  frame.mutable_call()->set_timeout_ms(50);
  raw_.send(frame);
  expect_error(raw_.receive(), 1, "deadline_exceeded");
  expect_alive(2);
}

TEST_F(ProtocolTest, TheServiceKeepsTheDeadlineItself) {
  auto frame = call_frame(1, "Hold");
  frame.mutable_call()->set_timeout_ms(50);
  raw_.send(frame);
  expect_error(raw_.receive(), 1, "deadline_exceeded");
  EXPECT_TRUE(server_.held->calls().front()->cancelled());
  server_.held->answer("too late");
  expect_alive(2);
}

TEST_F(ProtocolTest, CancelReachesTheHandler) {
  raw_.send(call_frame(1, "Hold"));
  server_.held->wait_for(1);
  ClientFrame cancel;
  cancel.set_id(1);
  cancel.mutable_cancel();
  raw_.send(cancel);
  expect_alive(2);
  EXPECT_TRUE(server_.held->calls().front()->cancelled());
  server_.held->answer("too late");
  expect_alive(3);
}

TEST_F(ProtocolTest, TheEndOfTheStreamCancelsItsCalls) {
  raw_.send(call_frame(1, "Hold"));
  server_.held->wait_for(1);
  const auto call = server_.held->calls().front();
  raw_.context().TryCancel();
  while (!call->cancelled()) std::this_thread::yield();
  server_.held->answer("too late");
}

TEST_F(ProtocolTest, AHalfClosedStreamIsAnsweredAndThenEnds) {
  raw_.send(call_frame(1, "Hold"));
  raw_.half_close();
  server_.held->wait_for(1);
  server_.held->answer("in time");
  EXPECT_EQ(raw_.receive().id(), 1u);
  ServerFrame frame;
  EXPECT_FALSE(raw_.receive(frame));
  EXPECT_TRUE(raw_.finish().ok());
}

TEST_F(ProtocolTest, LongTextsInAContextAreRefused) {
  auto frame = call_frame(1, "Echo");
  frame.mutable_call()->mutable_context()->set_user(std::string(1'000, 'u'));
  raw_.send(frame);
  expect_error(raw_.receive(), 1, "invalid_request");
  expect_alive(2);
}

TEST(ProtocolLimitsTest, TooManyCallsOnAStreamAreOverloaded) {
  auto config = EchoServer::config();
  config.limits.max_calls_per_stream = 10;
  EchoServer server(config);
  RawStream raw(server.address());
  for (uint64_t id = 1; id <= 10; ++id) raw.send(call_frame(id, "Hold"));
  server.held->wait_for(10);
  raw.send(call_frame(11, "Hold"));
  const auto frame = raw.receive();
  EXPECT_EQ(frame.id(), 11u);
  EXPECT_EQ(frame.error().code(), "overloaded");
  EXPECT_GT(frame.error().retry_after_ms(), 0u);
  server.held->answer_all("x");
}

TEST(ProtocolLimitsTest, AProjectCannotTakeAllTheRoom) {
  auto config = EchoServer::config();
  config.limits.max_calls_per_project = 5;
  EchoServer server(config);
  RawStream raw(server.address());
  for (uint64_t id = 1; id <= 6; ++id) {
    auto frame = call_frame(id, "Hold");
    frame.mutable_call()->mutable_context()->set_project("greedy");
    raw.send(frame);
  }
  EXPECT_EQ(raw.receive().error().code(), "overloaded");
  auto other = call_frame(7, "Echo");
  other.mutable_call()->mutable_context()->set_project("modest");
  raw.send(other);
  EXPECT_TRUE(raw.receive().has_chunk());
  server.held->answer_all("x");
}

TEST(ProtocolLimitsTest, AStreamHoldsABoundedAmountOfMemory) {
  auto config = EchoServer::config();
  config.limits.max_stream_bytes = 3'000'000;
  EchoServer server(config);
  RawStream raw(server.address());
  raymesh::test::v1::MakeRequest request;
  request.set_bytes(1'000'000);
  int overloaded = 0;
  for (uint64_t id = 1; id <= 10; ++id) {
    auto frame = call_frame(id, "Make");
    frame.mutable_call()->set_payload(request.SerializeAsString());
    frame.mutable_call()->set_credit(0);  // takes nothing, asks for more
    raw.send(frame);
  }
  raw.send(call_frame(11, "Echo"));
  for (;;) {
    const auto frame = raw.receive();
    if (frame.id() == 11) break;
    overloaded += frame.error().code() == "overloaded";
  }
  EXPECT_EQ(overloaded, 8);
}

TEST(ProtocolLimitsTest, ARequestIsBounded) {
  auto config = EchoServer::config();
  config.limits.max_request_bytes = 400'000;
  EchoServer server(config);
  RawStream raw(server.address());
  auto frame = call_frame(1, "Echo");
  frame.mutable_call()->set_more(true);
  raw.send(frame);
  ClientFrame chunk;
  chunk.set_id(1);
  chunk.mutable_chunk()->set_payload(std::string(frames::kChunkBytes, 'x'));
  chunk.mutable_chunk()->set_more(true);
  for (int i = 0; i < 13; ++i) raw.send(chunk);
  ServerFrame reply;
  do {
    reply = raw.receive();
  } while (reply.has_credit());
  EXPECT_EQ(reply.error().code(), "message_too_large") << reply.ShortDebugString();
  raw.send(call_frame(2, "Echo"));
  EXPECT_TRUE(raw.receive().has_chunk());
}

TEST(ProtocolLimitsTest, TooManyStreamsAreRefused) {
  auto config = EchoServer::config();
  config.limits.max_streams = 2;
  EchoServer server(config);
  RawStream first(server.address());
  RawStream second(server.address());
  first.send(call_frame(1, "Echo"));
  first.receive();
  second.send(call_frame(1, "Echo"));
  second.receive();
  RawStream third(server.address());
  ServerFrame frame;
  EXPECT_FALSE(third.receive(frame));
  EXPECT_EQ(third.finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// Bytes that are not a batch, straight on the stream: the stream ends, the server does not.
TEST(ProtocolLimitsTest, GarbageEndsTheStreamAndNothingElse) {
  EchoServer server;
  std::mt19937 random(11);
  auto channel = grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials());
  for (int round = 0; round < 200; ++round) {
    std::string bytes(random() % 200, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    if (round == 0) bytes.assign(frames::kMaxMessageBytes + 1, '\0');  // and one that is too large
    grpc::ClientContext context;
    context.AddMetadata(kClusterKeyMetadata, kClusterKey);
    grpc::CompletionQueue queue;
    grpc::GenericStub stub(channel);
    auto stream = stub.PrepareCall(&context, "/raymesh.test.v1.Echo/Calls", &queue);
    const auto next = [&] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    stream->StartCall(nullptr);
    ASSERT_TRUE(next());
    grpc::Slice slice(bytes);
    stream->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    ASSERT_TRUE(next());
    stream->WritesDone(nullptr);
    next();
    grpc::Status status;
    stream->Finish(&status, nullptr);
    grpc::ByteBuffer reply;
    next();
    queue.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue.Next(&tag, &ok)) continue;
  }
  auto peer = connect(server.peer_config());
  EXPECT_TRUE(echo(*peer, "still here").ok());
}

}  // namespace
}  // namespace raymesh::rpc::test
