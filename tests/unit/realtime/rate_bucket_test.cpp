#include "services/realtime/rate_bucket.hpp"

#include <gtest/gtest.h>

namespace raymesh::realtime {
namespace {

TEST(RateBucketTest, AllowsABurstAndThenTheRate) {
  RateBucket bucket;
  auto now = RateBucket::Clock::now();
  int taken = 0;
  for (int i = 0; i < 100; ++i) taken += bucket.take(10, 20, now);
  EXPECT_EQ(taken, 20);
  for (int i = 0; i < 1'000; ++i) {
    now += std::chrono::milliseconds(10);
    taken += bucket.take(10, 20, now);
  }
  EXPECT_NEAR(taken, 120, 1);
}

TEST(RateBucketTest, ARateOfZeroIsNoBound) {
  RateBucket bucket;
  const auto now = RateBucket::Clock::now();
  for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(bucket.take(0, 0, now));
}

}  // namespace
}  // namespace raymesh::realtime
