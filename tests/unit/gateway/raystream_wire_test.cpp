#include "services/gateway/raystream_wire.hpp"

#include <gtest/gtest.h>

#include "raymesh/cache/v1/cache.pb.h"
#include "raymesh/raystream/v1/raystream.pb.h"

namespace raymesh::gateway {
namespace {

namespace v1 = raymesh::raystream::v1;

TEST(RaystreamWireTest, ReadsWhatProtobufWrites) {
  v1::RpcCall call;
  call.set_call_id(1ULL << 63);
  call.set_method("db.find");
  call.set_args(std::string("a\0b", 3));
  call.set_more(true);
  for (const char* name : {"content-type", "timeout-ms", "traceparent", "idempotency-key", "path",
                           "query", "egroup", "other"})
    (*call.mutable_metadata())[name] = std::string("value of ") + name;
  const std::string bytes = call.SerializeAsString();
  CallFrame frame;
  ASSERT_TRUE(parse_call(bytes, frame));
  EXPECT_EQ(frame.call_id, 1ULL << 63);
  EXPECT_EQ(frame.method, "db.find");
  EXPECT_EQ(frame.args, std::string("a\0b", 3));
  EXPECT_TRUE(frame.more);
  EXPECT_EQ(frame.content_type, "value of content-type");
  EXPECT_EQ(frame.timeout_ms, "value of timeout-ms");
  EXPECT_EQ(frame.traceparent, "value of traceparent");
  EXPECT_EQ(frame.idempotency_key, "value of idempotency-key");
  EXPECT_EQ(frame.path, "value of path");
  EXPECT_EQ(frame.query, "value of query");
}

TEST(RaystreamWireTest, PassesOverUnknownFieldsAndRefusesWhatIsNoMessage) {
  v1::RpcCall call;
  call.set_call_id(7);
  const std::string known = call.SerializeAsString();
  CallFrame frame;
  // Field 99 as a number, as 8 bytes, as text and as 4 bytes.
  for (std::string unknown :
       {std::string("\x98\x06\x05", 3), std::string("\x99\x06\1\2\3\4\5\6\7\x08", 10),
        std::string("\x9a\x06\x02hi", 5), std::string("\x9d\x06\1\2\3\4", 6)}) {
    ASSERT_TRUE(parse_call(unknown + known, frame));
    EXPECT_EQ(frame.call_id, 7u);
    for (size_t cut = 3; cut < unknown.size(); ++cut)
      EXPECT_FALSE(parse_call(known + unknown.substr(0, cut), frame)) << cut;
  }
  for (std::string bad : {std::string("\0\0", 2), std::string("\x0b"), std::string("\x1a\x05hi"),
                          std::string(11, '\xff'), std::string("\x08")})
    EXPECT_FALSE(parse_call(bad, frame));
}

TEST(RaystreamWireTest, BoundsMetadata) {
  v1::RpcCall call;
  CallFrame frame;
  for (int i = 0; i < 32; ++i) (*call.mutable_metadata())["k" + std::to_string(i)] = "v";
  EXPECT_TRUE(parse_call(call.SerializeAsString(), frame));
  (*call.mutable_metadata())["one more"] = "v";
  EXPECT_FALSE(parse_call(call.SerializeAsString(), frame));
}

TEST(RaystreamWireTest, FindsATextField) {
  cache::v1::SetRequest request;
  request.set_json("1");
  request.set_ttl_seconds(9);
  EXPECT_EQ(text_field(request.SerializeAsString(), 1), "");
  request.set_key("room");
  EXPECT_EQ(text_field(request.SerializeAsString(), 1), "room");
  // As for Protobuf, the last one counts.
  EXPECT_EQ(text_field(request.SerializeAsString() + "\x0a\x03two", 1), "two");
  EXPECT_EQ(text_field("\x0a\x05hi", 1), "");
}

TEST(RaystreamWireTest, KnowsAMessageByItsOuterForm) {
  cache::v1::SetRequest request;
  EXPECT_TRUE(is_message(request.SerializeAsString()));
  request.set_key("room");
  request.set_ttl_seconds(9);
  const std::string bytes = request.SerializeAsString();
  EXPECT_TRUE(is_message(bytes));
  EXPECT_FALSE(is_message(bytes.substr(0, bytes.size() - 1)));
  // Text that reaches beyond the end: it would take in whatever is appended.
  EXPECT_FALSE(is_message(bytes + "\x0a\x05hi"));
  EXPECT_FALSE(is_message(bytes + "\x0b"));  // a group
}

TEST(RaystreamWireTest, WritesWhatProtobufReads) {
  const std::string result(300, 'r');
  for (const bool more : {false, true}) {
    const auto head = rpc_response_head(~0ULL, 200, result.size());
    std::string bytes(head.view());
    bytes += result;
    if (more) bytes += kMoreFollows;
    v1::RpcResponse response;
    ASSERT_TRUE(response.ParseFromString(bytes));
    EXPECT_EQ(response.call_id(), ~0ULL);
    EXPECT_EQ(response.status(), 200u);
    EXPECT_EQ(response.result(), result);
    EXPECT_EQ(response.more(), more);
  }
  v1::RpcResponse empty;
  ASSERT_TRUE(empty.ParseFromString(std::string(rpc_response_head(1, 0, 0).view())));
  EXPECT_EQ(empty.status(), 0u);
  EXPECT_TRUE(empty.result().empty());
}

}  // namespace
}  // namespace raymesh::gateway
