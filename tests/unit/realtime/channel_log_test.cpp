#include "services/realtime/channel_log.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "libs/net/websocket/frame.hpp"

namespace raymesh::realtime {
namespace {

std::vector<std::string> payloads(const Span& span) {
  std::vector<std::string> out;
  size_t at = 0;
  while (at < span.size()) {
    const char* frame = span.data() + at;
    const size_t whole = net::websocket::server_frame_bytes(frame);
    const auto length = static_cast<unsigned char>(frame[1]);
    const size_t header = length < 126 ? 2 : length == 126 ? 4 : 10;
    EXPECT_EQ(static_cast<unsigned char>(frame[0]), 0x81);
    out.emplace_back(frame + header, whole - header);
    at += whole;
  }
  EXPECT_EQ(at, span.size());
  return out;
}

PublishBatch batch_of(std::initializer_list<std::string> texts) {
  PublishBatch batch;
  for (const auto& t : texts) batch.add(t);
  return batch;
}

class ChannelLogTest : public ::testing::Test {
 protected:
  SegmentMemory memory_;
  ChannelLog log_{Dialect::kDefault, "room \"1\"", false, memory_};
};

TEST_F(ChannelLogTest, EncodesABatchAsFramesInOneSpan) {
  const Span span =
      log_.append(batch_of({"1", R"({"a":2})", '"' + std::string(70'000, 'x') + '"'}), {});
  EXPECT_EQ(payloads(span), (std::vector<std::string>{
                                R"({"type":"message","channel":"room \"1\"","payload":1})",
                                R"({"type":"message","channel":"room \"1\"","payload":{"a":2}})",
                                R"({"type":"message","channel":"room \"1\"","payload":")" +
                                    std::string(70'000, 'x') + "\"}"}));
}

TEST_F(ChannelLogTest, BatchesThatAreStillReadFollowOneAnother) {
  const Span first = log_.append(batch_of({"1"}), {});
  const Span second = log_.append(batch_of({"2"}), {});
  EXPECT_TRUE(first.joins(second));
  EXPECT_EQ(payloads(first).size(), 1u);
  EXPECT_EQ(payloads(second),
            std::vector<std::string>{R"({"type":"message","channel":"room \"1\"","payload":2})"});
}

TEST_F(ChannelLogTest, StartsAgainAtTheFrontWhenEverythingWasSent) {
  size_t memory = 0;
  for (int i = 0; i < 1'000; ++i) {
    const Span span = log_.append(batch_of({std::to_string(i)}), {});
    EXPECT_EQ(span.begin, 0u);
    if (i == 0) memory = memory_.bytes();
  }
  EXPECT_EQ(memory_.bytes(), memory);
  EXPECT_LE(memory, ChannelLog::kMinSegment);
}

TEST_F(ChannelLogTest, NeverWritesOverWhatIsStillRead) {
  std::vector<Span> kept;
  for (int i = 0; i < 5'000; ++i) kept.push_back(log_.append(batch_of({std::to_string(i)}), {}));
  for (int i = 0; i < 5'000; ++i)
    ASSERT_EQ(payloads(kept[static_cast<size_t>(i)])[0],
              R"({"type":"message","channel":"room \"1\"","payload":)" + std::to_string(i) + "}");
  kept.clear();
  EXPECT_LE(memory_.bytes(), ChannelLog::kMaxSegment);
}

TEST_F(ChannelLogTest, GivesUpWhatABurstHasLeftBehind) {
  { const Span span = log_.append(batch_of({'"' + std::string(50'000, 'x') + '"'}), {}); }
  EXPECT_TRUE(log_.is_large());
  log_.trim();
  EXPECT_EQ(memory_.bytes(), 0u);
  const Span span = log_.append(batch_of({"1"}), {});
  EXPECT_EQ(payloads(span).size(), 1u);
  EXPECT_FALSE(log_.is_large());
  log_.trim();
  EXPECT_GT(memory_.bytes(), 0u);
}

}  // namespace
}  // namespace raymesh::realtime
