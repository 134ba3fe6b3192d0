// The frames as bytes: our writer and reader against protobuf's own.
#include "libs/rpc/frames.hpp"

#include <gtest/gtest.h>

#include <random>

#include "libs/rpc/error_wire.hpp"
#include "raymesh/common/v1/calls.pb.h"

namespace raymesh::rpc {
namespace {

using common::v1::ClientBatch;
using common::v1::ServerBatch;

TEST(FramesTest, ProtobufReadsWhatWeWrite) {
  common::v1::CallContext context;
  context.set_project("p1");
  std::string out;
  frames::append_call(out, 7,
                      {.method = "Query",
                       .timeout_ms = 10'000,
                       .context = context.SerializeAsString(),
                       .payload = std::string(300, 'x'),
                       .more = true,
                       .credit = 262'144});
  frames::append_chunk(out, 7, "tail", false);
  frames::append_credit(out, 8, 70'000);
  frames::append_frame(out, 9, frames::kCancel, {});

  ClientBatch batch;
  ASSERT_TRUE(batch.ParseFromString(out));
  ASSERT_EQ(batch.frames_size(), 4);
  const auto& call = batch.frames(0).call();
  EXPECT_EQ(batch.frames(0).id(), 7u);
  EXPECT_EQ(call.method(), "Query");
  EXPECT_EQ(call.timeout_ms(), 10'000u);
  EXPECT_EQ(call.context().project(), "p1");
  EXPECT_EQ(call.payload().size(), 300u);
  EXPECT_TRUE(call.more());
  EXPECT_EQ(call.credit(), 262'144u);
  EXPECT_EQ(batch.frames(1).chunk().payload(), "tail");
  EXPECT_FALSE(batch.frames(1).chunk().more());
  EXPECT_EQ(batch.frames(2).credit().bytes(), 70'000u);
  EXPECT_TRUE(batch.frames(3).has_cancel());

  out.clear();
  frames::append_chunk(out, 1, "reply", true);
  frames::append_error(out, 2, Error(errors::kNotFound, "no", std::chrono::milliseconds(5)));
  frames::append_credit(out, 3, 1);
  frames::append_frame(out, 0, frames::kDrain, {});
  ServerBatch replies;
  ASSERT_TRUE(replies.ParseFromString(out));
  ASSERT_EQ(replies.frames_size(), 4);
  EXPECT_EQ(replies.frames(0).chunk().payload(), "reply");
  EXPECT_TRUE(replies.frames(0).chunk().more());
  EXPECT_EQ(replies.frames(1).error().code(), "not_found");
  EXPECT_EQ(replies.frames(1).error().retry_after_ms(), 5u);
  EXPECT_EQ(replies.frames(2).credit().bytes(), 1u);
  EXPECT_TRUE(replies.frames(3).has_drain());
}

TEST(FramesTest, AContextIsWhatProtobufMakesOfIt) {
  common::v1::CallContext context;
  std::string out = "before";
  frames::append_context(out, {});
  EXPECT_EQ(out, "before");
  context.set_project("p1");
  context.set_session(std::string(300, 's'));
  context.set_client_address("::1");
  frames::append_context(out, {context.project(), {}, context.session(), {}, {}, "::1"});
  EXPECT_EQ(out, "before" + context.SerializeAsString());
  context.set_user("u");
  context.set_traceparent("00-1");
  context.set_request_id("r");
  out.clear();
  frames::append_context(
      out, {context.project(), context.user(), context.session(), context.traceparent(),
            context.request_id(), context.client_address()});
  EXPECT_EQ(out, context.SerializeAsString());
}

TEST(FramesTest, WeReadWhatProtobufWrites) {
  ClientBatch batch;
  auto* frame = batch.add_frames();
  frame->set_id(1'000'000'000'000);
  auto* call = frame->mutable_call();
  call->set_method("Query");
  call->set_timeout_ms(5);
  call->mutable_context()->set_user("u");
  call->mutable_context()->set_client_address("::1");
  call->set_payload(std::string("\0a", 2));
  call->set_credit(9);
  const std::string bytes = batch.SerializeAsString();

  frames::Reader reader(bytes);
  frames::Field field;
  ASSERT_TRUE(reader.next(field));
  frames::Frame read;
  ASSERT_TRUE(frames::parse_frame(field.bytes, read));
  EXPECT_EQ(read.id, 1'000'000'000'000u);
  EXPECT_EQ(read.field, frames::kCall);
  frames::CallBody body;
  ASSERT_TRUE(frames::parse_call(read.body, body));
  EXPECT_EQ(body.method, "Query");
  EXPECT_EQ(body.timeout_ms, 5u);
  EXPECT_EQ(body.context.user, "u");
  EXPECT_EQ(body.context.client_address, "::1");
  EXPECT_EQ(body.payload, std::string_view("\0a", 2));
  EXPECT_FALSE(body.more);
  EXPECT_EQ(body.credit, 9u);
  EXPECT_FALSE(reader.next(field));
  EXPECT_TRUE(reader.ok());
}

TEST(FramesTest, EveryCutOfAFrameIsRefusedOrHarmless) {
  std::string out;
  frames::append_call(out, 7, {.method = "Query", .timeout_ms = 1, .payload = "payload"});
  for (size_t n = 0; n < out.size(); ++n) {
    frames::Reader reader(std::string_view(out).substr(0, n));
    for (frames::Field f; reader.next(f);) ADD_FAILURE() << "a cut frame was read at " << n;
    EXPECT_EQ(reader.ok(), n == 0) << n;
  }
}

TEST(FramesTest, RandomBytesNeverReadBeyondTheirEnd) {
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(random() % 64, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    frames::Frame frame;
    if (frames::parse_frame(bytes, frame)) {
      frames::CallBody call;
      frames::ChunkBody chunk;
      uint32_t credit = 0;
      (void)frames::parse_call(frame.body, call);
      (void)frames::parse_chunk(frame.body, chunk);
      (void)frames::parse_credit(frame.body, credit);
      (void)frames::parse_error(frame.body);
    }
  }
}

TEST(FramesTest, AnErrorOfANewerServiceKeepsItsText) {
  common::v1::Error proto;
  proto.set_status(14);
  proto.set_code("brand_new");
  proto.set_message("hm");
  const Error error = error_from_proto(proto);
  EXPECT_TRUE(error.is(errors::kUnavailable));
  EXPECT_EQ(error.message, "brand_new: hm");
}

}  // namespace
}  // namespace raymesh::rpc
