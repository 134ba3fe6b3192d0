#include <gtest/gtest.h>

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <chrono>
#include <future>
#include <semaphore>

#include "libs/base/cores.hpp"
#include "tests/db/cache/cache_harness.hpp"

namespace raymesh::cache {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kQuota = 1'000'000;
const std::string kValue = '"' + std::string(50'000, 'x') + '"';

double measured(CacheHarness& cache) {
  const std::string text = cache.metrics().render();
  const std::string name = "\nraymesh_cache_usage_measured_total ";
  const size_t at = text.find(name);
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size()));
}

TEST(CacheQuotaTest, RefusesGrowthBeyondIt) {
  CacheHarness cache(kQuota);
  int written = 0;
  Result<bool> result = true;
  while (written < 100 && (result = cache.set("k" + std::to_string(written), kValue)).ok())
    ++written;
  EXPECT_EQ(code_of(result), "quota_exceeded");
  EXPECT_GT(result.error().retry_after.count(), 0);
  EXPECT_GE(written, 10);
  EXPECT_LE(written, 20);
  EXPECT_EQ(code_of(cache.hash_set("h", {{"a", kValue}})), "quota_exceeded");
  EXPECT_EQ(code_of(cache.change_set("SetAdd", "s", {std::string(50'000, 'y')})), "quota_exceeded");
  // Others have their own, what is there may be read, replaced by as much and deleted.
  EXPECT_TRUE(cache.set("k", kValue, 0, false, "other").ok());
  EXPECT_TRUE(cache.get("k0").ok());
  EXPECT_TRUE(cache.set("k0", "1").ok());
  EXPECT_TRUE(*cache.erase("k1"));
  EXPECT_TRUE(cache.set("k1", kValue).ok());
}

TEST(CacheQuotaTest, UsageFollowsChanges) {
  CacheHarness cache(kQuota);
  for (int round = 0; round < 200; ++round) {
    ASSERT_TRUE(cache.set("same", kValue).ok()) << round;
    ASSERT_TRUE(cache.hash_set("h", {{"a", kValue}}).ok()) << round;
    ASSERT_TRUE(*cache.erase("h")) << round;
  }
  EXPECT_LT(std::stoll(cache.cache_redis.cli({"GET", "u:dev"})), 120'000);
  ASSERT_TRUE(*cache.erase("same"));
  EXPECT_EQ(cache.cache_redis.cli({"GET", "u:dev"}), "0");
}

TEST(CacheQuotaTest, WhatExpiredIsMeasuredAnew) {
  CacheHarness cache(kQuota);
  int written = 0;
  while (written < 100 && cache.set("k" + std::to_string(written), kValue, 1).ok()) ++written;
  // The measuring that 80 % of the quota began sees either the entries or none of them.
  EXPECT_TRUE(eventually([&] { return measured(cache) >= 1; }));
  EXPECT_TRUE(eventually([&] { return cache.cache_redis.cli({"KEYS", "v:*"}).empty(); }));
  EXPECT_GT(std::stoll(cache.cache_redis.cli({"GET", "u:dev"})), 500'000);
}

TEST(CacheQuotaTest, AStopWaitsForWhoMeasuresWithTheStore) {
  CacheHarness cache(kQuota);
  // Its actor cannot end while nobody runs it.
  std::promise<void> release;
  const std::shared_future<void> released = release.get_future().share();
  const size_t threads = std::max<size_t>(2, available_cores());
  std::counting_semaphore<> held(0);
  for (size_t i = 0; i < threads; ++i)
    cache.actors().spawn([&held, released] {
      held.release();
      released.wait();
    });
  for (size_t i = 0; i < threads; ++i) held.acquire();
  auto stopped = std::async(std::launch::async, [&] { cache.stop(); });
  EXPECT_EQ(stopped.wait_for(300ms), std::future_status::timeout);
  release.set_value();
  EXPECT_EQ(stopped.wait_for(20s), std::future_status::ready);
}

TEST(CacheQuotaTest, AFullStoreEvictsInsteadOfFailing) {
  CacheHarness cache(0, {"--maxmemory", "8mb", "--maxmemory-policy", "allkeys-lru"});
  for (int i = 0; i < 400; ++i) ASSERT_TRUE(cache.set("k" + std::to_string(i), kValue).ok()) << i;
  // Which ones go is Redis' choice: it samples, and its clock does not tell apart what was written
  // in the same second. 8 MB hold at most 160 of these.
  int evicted = 0;
  for (int i = 0; i < 400; ++i) {
    auto value = cache.get("k" + std::to_string(i));
    ASSERT_TRUE(value.ok()) << i;
    if (!value->has_value()) ++evicted;
  }
  EXPECT_GE(evicted, 240);
  EXPECT_LT(evicted, 400);
}

}  // namespace
}  // namespace raymesh::cache
