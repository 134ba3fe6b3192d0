#include "services/realtime/lossy_queue.hpp"

#include <gtest/gtest.h>

#include "services/realtime/channel.hpp"

namespace raymesh::realtime {
namespace {

constexpr uint64_t kEpoch = 7;

class LossyQueueTest : public ::testing::Test {
 protected:
  static Span span(const std::string& text) {
    static SegmentMemory memory;
    return Span::copy(text, memory);
  }
  static std::string text(const Span& span) { return {span.data(), span.size()}; }

  const ChannelRule rule_{};
  const Channel a_{"p", "a", rule_, 1};
  const Channel b_{"p", "b", rule_, 1};
  LossyQueue queue_;
};

TEST_F(LossyQueueTest, WhatIsDroppedIsOneGapForEachChannel) {
  queue_.drop(a_, {kEpoch, 4});
  queue_.drop(b_, {kEpoch, 9});
  queue_.drop(a_, {kEpoch, 5});
  EXPECT_TRUE(queue_.is_dropping(a_));
  const auto b = queue_.take_gap();
  const auto a = queue_.take_gap();
  ASSERT_TRUE(a && b);
  EXPECT_EQ(b->channel, &b_);
  EXPECT_EQ(a->last, (Position{kEpoch, 5}));
  EXPECT_EQ(a->lost, 2u);
  EXPECT_FALSE(a->never_came);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(LossyQueueTest, WhatNeverCameIsToldInItsPlaceBehindWhatWasDropped) {
  EXPECT_FALSE(queue_.lose(a_, {kEpoch, 3}, 3)) << "nothing waits: it is told at once";
  queue_.drop(a_, {kEpoch, 4});
  EXPECT_TRUE(queue_.lose(a_, {kEpoch, 14}, 10));
  queue_.drop(a_, {kEpoch, 15});
  const auto gap = queue_.take_gap();
  ASSERT_TRUE(gap);
  EXPECT_EQ(gap->last, (Position{kEpoch, 15}));
  EXPECT_EQ(gap->lost, 12u);
  EXPECT_TRUE(gap->never_came);
}

TEST_F(LossyQueueTest, WhatNobodyCanCountStaysUncounted) {
  queue_.drop(a_, {kEpoch, 4});
  EXPECT_TRUE(queue_.lose(a_, {kEpoch + 1, 2}, std::nullopt));
  queue_.drop(a_, {kEpoch + 1, 3});
  EXPECT_TRUE(queue_.lose(a_, {kEpoch + 1, 5}, 2));
  const auto gap = queue_.take_gap();
  ASSERT_TRUE(gap);
  EXPECT_EQ(gap->last, (Position{kEpoch + 1, 5}));
  EXPECT_EQ(gap->lost, std::nullopt);
}

TEST_F(LossyQueueTest, KeepsTheLatestOfEachKeyInTheOrderInWhichTheyCame) {
  queue_.keep_latest(a_, "x", span("a x1"));
  queue_.keep_latest(a_, "y", span("a y1"));
  queue_.keep_latest(b_, "x", span("b x1"));
  queue_.keep_latest(a_, "x", span("a x2"));
  EXPECT_TRUE(queue_.forget(b_));
  EXPECT_FALSE(queue_.forget(b_));
  EXPECT_EQ(text(queue_.take_frame()), "a y1");
  EXPECT_EQ(text(queue_.take_frame()), "a x2");
  EXPECT_TRUE(queue_.take_frame().empty());
  EXPECT_EQ(queue_.bytes(), 0u);
}

}  // namespace
}  // namespace raymesh::realtime
