#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/db/cache/cache_harness.hpp"

namespace raymesh::cache {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST(LeasesTest, ABucketStartsFullAndRefills) {
  CacheHarness cache;
  auto first = cache.lease("b", 0.001, 10, 4);
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_EQ(first->granted(), 4);
  EXPECT_GT(first->lease_ms(), 0u);
  EXPECT_EQ(cache.lease("b", 0.001, 10, 100)->granted(), 6);
  auto empty = cache.lease("b", 0.001, 10, 1);
  EXPECT_EQ(empty->granted(), 0);
  EXPECT_GT(empty->retry_after_ms(), 900'000u);
  EXPECT_LE(empty->retry_after_ms(), 1'000'000u);
  EXPECT_EQ(cache.lease("other", 0.001, 10, 1)->granted(), 1) << "buckets are apart";

  ASSERT_EQ(cache.lease("fast", 100, 1, 1)->granted(), 1);
  auto soon = cache.lease("fast", 100, 1, 1);
  EXPECT_LE(soon->retry_after_ms(), 10u);
  EXPECT_TRUE(eventually([&] { return cache.lease("fast", 100, 1, 1)->granted() == 1; }));
}

TEST(LeasesTest, ABucketThatIsFullAgainIsForgotten) {
  CacheHarness cache;
  ASSERT_EQ(cache.lease("b", 1000, 10, 10)->granted(), 10);
  EXPECT_EQ(cache.state_redis.cli({"EXISTS", "lease:b"}), "1");
  EXPECT_TRUE(eventually([&] { return cache.state_redis.cli({"EXISTS", "lease:b"}) == "0"; }));
  EXPECT_EQ(cache.lease("b", 1000, 10, 10)->granted(), 10);
}

TEST(LeasesTest, TwoGatewaysTogetherKeepTheRate) {
  CacheHarness cache;
  constexpr double kRate = 2'000, kBurst = 200, kBlock = 20;
  std::atomic<double> granted[2] = {};
  const auto begin = Clock::now();
  std::vector<std::thread> gateways;
  for (auto& mine : granted)
    gateways.emplace_back([&] {
      while (Clock::now() - begin < 2s) {
        auto lease = cache.lease("shared", kRate, kBurst, kBlock);
        if (lease.ok()) mine = mine + lease->granted();
      }
    });
  for (auto& gateway : gateways) gateway.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  const double total = granted[0] + granted[1], most = kBurst + kRate * seconds;
  EXPECT_LE(total, most * 1.01);
  EXPECT_GE(total, most * 0.9);
  for (const auto& mine : granted) EXPECT_GT(mine, most * 0.2) << "none is left without";
}

TEST(LeasesTest, RefusesNumbersThatMakeNoBucket) {
  CacheHarness cache;
  EXPECT_EQ(code_of(cache.lease("", 1, 1, 1)), "invalid_request");
  EXPECT_EQ(code_of(cache.lease("b", 0, 1, 1)), "invalid_request");
  EXPECT_EQ(code_of(cache.lease("b", 1, 1, -1)), "invalid_request");
}

}  // namespace
}  // namespace raymesh::cache
