#include "libs/redis/ring.hpp"

#include <gtest/gtest.h>

namespace raymesh::redis {
namespace {

TEST(RingTest, OnePrimaryHoldsEverything) {
  Ring ring({"a:1"});
  EXPECT_EQ(ring.pick(""), 0u);
  EXPECT_EQ(ring.pick("x"), 0u);
}

TEST(RingTest, TheOrderOfTheListDoesNotMatter) {
  std::vector<std::string> names = {"a:1", "b:1", "c:1"}, turned = {"c:1", "a:1", "b:1"};
  Ring ring(names), other(turned);
  for (int i = 0; i < 1000; ++i) {
    std::string partition = "project-" + std::to_string(i);
    EXPECT_EQ(names[ring.pick(partition)], turned[other.pick(partition)]);
  }
}

TEST(RingTest, SharesAreFair) {
  Ring ring({"redis-0:6379", "redis-1:6379", "redis-2:6379"});
  size_t count[3] = {};
  constexpr int kPartitions = 30'000;
  for (int i = 0; i < kPartitions; ++i) ++count[ring.pick("p/" + std::to_string(i))];
  for (size_t n : count) {
    EXPECT_GT(n, kPartitions / 3 * 0.85);
    EXPECT_LT(n, kPartitions / 3 * 1.15);
  }
}

TEST(RingTest, OnePrimaryMoreMovesOnlyItsShare) {
  std::vector<std::string> three = {"a:1", "b:1", "c:1"}, four = {"a:1", "b:1", "c:1", "d:1"};
  Ring before(three), after(four);
  int moved = 0;
  for (int i = 0; i < 10'000; ++i) {
    std::string partition = std::to_string(i);
    const std::string &was = three[before.pick(partition)], &is = four[after.pick(partition)];
    if (was == is) continue;
    EXPECT_EQ(is, "d:1");
    ++moved;
  }
  EXPECT_GT(moved, 1800);
  EXPECT_LT(moved, 3200);
}

TEST(RingTest, HashesAreStable) {
  EXPECT_EQ(Ring::hash("project"), 0xa160383e76e2ae69u);
}

}  // namespace
}  // namespace raymesh::redis
