#include "services/realtime/topic_message.hpp"

#include <gtest/gtest.h>

namespace raymesh::realtime {
namespace {

constexpr NodeId kSelf = 0x1111;

// As the script completes a body.
std::string messages(const std::string& body, uint64_t epoch, uint64_t first) {
  std::string out = "\1" + epoch_text(epoch);
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(first >> (8 * i)));
  return out + body;
}

PublishBatch batch(ConnectionId origin = {}) {
  PublishBatch out(origin);
  out.add("1");
  out.add(R"({"a":2})");
  out.add("");
  return out;
}

TEST(TopicMessageTest, BringsABatchWithItsPlace) {
  const auto origin = ConnectionId::make(3, 77, 9);
  const std::string bytes = messages(encode_body(batch(origin), kSelf, 42), 0xabc, 17);
  TopicMessage decoded = decode_topic(bytes, kSelf);
  const auto* got = std::get_if<TopicMessages>(&decoded);
  ASSERT_NE(got, nullptr);
  EXPECT_EQ(got->first, (Position{0xabc, 17}));
  EXPECT_EQ(got->sent, 42u);
  EXPECT_EQ(got->batch->origin(), origin);
  ASSERT_EQ(got->batch->count(), 3u);
  EXPECT_EQ(got->batch->payload(1), R"({"a":2})");
  EXPECT_EQ(got->batch->payload(2), "");
}

TEST(TopicMessageTest, AnOriginElsewhereIsNoneHere) {
  const std::string bytes =
      messages(encode_body(batch(ConnectionId::make(3, 77, 9)), kSelf, 42), 0xabc, 17);
  TopicMessage decoded = decode_topic(bytes, kSelf + 1);
  const auto* got = std::get_if<TopicMessages>(&decoded);
  ASSERT_NE(got, nullptr);
  EXPECT_FALSE(got->batch->origin());
  EXPECT_EQ(got->sent, 0u);
}

TEST(TopicMessageTest, RefusesWhatIsCutOrTooLong) {
  const std::string bytes = messages(encode_body(batch(), kSelf, 42), 0xabc, 17);
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_EQ(decode_topic(bytes.substr(0, size), kSelf).index(), 0u) << size;
  EXPECT_EQ(decode_topic(bytes + "x", kSelf).index(), 0u);
  std::string many = bytes;
  many[1 + 16 + 8 + 24 + 3] = '\x7f';  // a count of two thousand millions
  EXPECT_EQ(decode_topic(many, kSelf).index(), 0u);
}

TEST(TopicMessageTest, BringsMemberEvents) {
  const std::string bytes("\2\2\0\0\0\1\2\0\0\0{}\0\4\0\0\0{\"\"}", 21);
  const TopicMessage decoded = decode_topic(bytes, kSelf);
  const auto* events = std::get_if<std::vector<TopicEvent>>(&decoded);
  ASSERT_NE(events, nullptr);
  ASSERT_EQ(events->size(), 2u);
  EXPECT_TRUE((*events)[0].joined);
  EXPECT_EQ((*events)[0].member_json, "{}");
  EXPECT_FALSE((*events)[1].joined);
  EXPECT_EQ((*events)[1].member_json, "{\"\"}");
  EXPECT_EQ(decode_topic(bytes.substr(0, 20), kSelf).index(), 0u);
}

TEST(TopicMessageTest, ControlMessagesGoThereAndBack) {
  Revocation revocation;
  revocation.project = "p";
  revocation.by = Revocation::By::kChannel;
  revocation.value = std::string("a\0b", 3);
  revocation.issued_by = 7;
  revocation.keep_until = -8;
  const ControlMessage first = decode_control(encode(RevocationMessage{5, kSelf, revocation}));
  const auto* told = std::get_if<RevocationMessage>(&first);
  ASSERT_NE(told, nullptr);
  EXPECT_EQ(told->number, 5u);
  EXPECT_EQ(told->tell, kSelf);
  EXPECT_EQ(encode(told->revocation), encode(revocation));
  const ControlMessage second = decode_control(encode(ClosedMessage{5, kSelf, 99}));
  const auto* closed = std::get_if<ClosedMessage>(&second);
  ASSERT_NE(closed, nullptr);
  EXPECT_EQ(closed->closed, 99u);
  const ControlMessage third = decode_control(encode_position_head(6) + epoch_text(0xdef) +
                                              std::string("\4\0\0\0\0\0\0\0", 8));
  const auto* position = std::get_if<PositionMessage>(&third);
  ASSERT_NE(position, nullptr);
  EXPECT_EQ(position->number, 6u);
  EXPECT_EQ(position->at, (Position{0xdef, 4}));
  EXPECT_EQ(decode_control("").index(), 0u);
  EXPECT_EQ(decode_control("\3").index(), 0u);
}

TEST(TopicMessageTest, FindsTheJsonOfAMember) {
  EXPECT_EQ(json_of_member("3:ada{\"id\":1}"), "{\"id\":1}");
  EXPECT_EQ(json_of_member("0:{}"), "{}");
  for (const char* wrong : {"", "x", "3", "9:ada", "-1:{}", "3ada:"})
    EXPECT_EQ(json_of_member(wrong), "") << wrong;
}

TEST(TopicMessageTest, CursorsGoThereAndBack) {
  EXPECT_EQ(encode(PresenceCursor{}), "");
  EXPECT_EQ(decode_cursor("")->node, "");
  const auto cursor = decode_cursor(encode(PresenceCursor{node_text(kSelf), "123"}));
  ASSERT_TRUE(cursor);
  EXPECT_EQ(cursor->node, node_text(kSelf));
  EXPECT_EQ(cursor->place, "123");
}

}  // namespace
}  // namespace raymesh::realtime
