#include "libs/redis/ring.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace raymesh::redis {
namespace {

/// How many of the keys each primary has, beside an equal share.
std::vector<double> shares(const std::vector<std::string>& names,
                           const std::vector<std::string>& keys) {
  const Ring ring(names);
  std::vector<double> out(names.size());
  for (const std::string& key : keys)
    out[ring.pick(key)] += static_cast<double>(names.size()) / static_cast<double>(keys.size());
  return out;
}

std::vector<std::string> numbered(const std::string& before, int first, int count,
                                  const std::string& after = {}) {
  std::vector<std::string> out;
  for (int i = first; i < first + count; ++i) out.push_back(before + std::to_string(i) + after);
  return out;
}

TEST(RingTest, OnePrimaryHoldsEverything) {
  Ring ring({"a:1"});
  EXPECT_EQ(ring.pick(""), 0u);
  EXPECT_EQ(ring.pick("x"), 0u);
}

TEST(RingTest, TheOrderOfTheListDoesNotMatter) {
  std::vector<std::string> names = {"a:1", "b:1", "c:1"}, turned = {"c:1", "a:1", "b:1"};
  Ring ring(names), other(turned);
  for (int i = 0; i < 1000; ++i) {
    std::string key = "project-" + std::to_string(i);
    EXPECT_EQ(names[ring.pick(key)], turned[other.pick(key)]);
  }
}

TEST(RingTest, NumberedKeysAreSpreadEvenly) {
  for (size_t primaries = 2; primaries <= 9; ++primaries) {
    std::vector<std::string> names;
    for (size_t i = 0; i < primaries; ++i) names.push_back("redis-" + std::to_string(i) + ":6379");
    for (const auto& keys :
         {numbered("room:", 0, 128), numbered("p-chat-", 977, 128), numbered("a", 1, 256, ":x")})
      for (const double share : shares(names, keys)) EXPECT_NEAR(share, 1, 0.1) << keys.front();
  }
}

TEST(RingTest, OtherKeysAreSpreadByTheirHash) {
  std::vector<std::string> keys;
  for (char a = 'a'; a <= 'z'; ++a)
    for (char b = 'a'; b <= 'z'; ++b)
      for (char c = 'a'; c <= 'p'; ++c) keys.push_back({a, b, c});
  for (const double share : shares({"redis-0:6379", "redis-1:6379", "redis-2:6379"}, keys))
    EXPECT_NEAR(share, 1, 0.1);
}

TEST(RingTest, ANumberOfAnyLengthHasAPartition) {
  for (const std::string& key :
       {std::string(), std::string(400, '9'), std::string("18446744073709551616"),
        std::string("\xff\0007\xff", 4), std::string("x")})
    EXPECT_LT(Ring::partition(key), Ring::kPartitions);
  EXPECT_EQ(Ring::partition("room:7"), (Ring::partition("room:6") + 1) % Ring::kPartitions);
  EXPECT_EQ(Ring::partition("room:7"), Ring::partition("room:007"));
}

TEST(RingTest, OnePrimaryMoreMovesLittleMoreThanItsShare) {
  double moved = 0, to_others = 0;
  constexpr int kRings = 50;
  for (int n = 0; n < kRings; ++n) {
    std::vector<std::string> names;
    for (int i = 0; i < 4; ++i)
      names.push_back("redis-" + std::to_string(i) + ".n" + std::to_string(n) + ":6379");
    const Ring before({names[0], names[1], names[2]}), after(names);
    for (const std::string& key : numbered("room:", 0, Ring::kPartitions)) {
      if (before.pick(key) == after.pick(key)) continue;
      moved += 1.0 / Ring::kPartitions / kRings;
      if (after.pick(key) != 3) to_others += 1.0 / Ring::kPartitions / kRings;
    }
  }
  EXPECT_GE(moved, 0.25);
  EXPECT_LT(moved, 0.30);
  EXPECT_LT(to_others, 0.05);
}

TEST(RingTest, AsManyPrimariesAsPartitions) {
  std::vector<std::string> names = numbered("redis-", 0, Ring::kPartitions);
  const Ring ring(names);
  std::set<size_t> picked;
  for (const std::string& key : numbered("room:", 0, Ring::kPartitions))
    picked.insert(ring.pick(key));
  EXPECT_EQ(picked.size(), Ring::kPartitions);
}

/// Nodes of different versions must agree.
TEST(RingTest, HashesAreStable) {
  EXPECT_EQ(Ring::hash("project"), 0xa160383e76e2ae69u);
  EXPECT_EQ(Ring::partition("room:1"), 21u);
}

}  // namespace
}  // namespace raymesh::redis
