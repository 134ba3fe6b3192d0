#include <gtest/gtest.h>

#include <chrono>

#include "tests/db/cache/cache_harness.hpp"

namespace raymesh::cache {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST(CacheOutageTest, AnswersUnavailableWhileRedisIsAwayAndRecovers) {
  CacheHarness cache;
  ASSERT_TRUE(cache.set("k", "1").ok());
  cache.cache_redis.stop();
  EXPECT_TRUE(eventually([&] { return code_of(cache.get("k")) == "unavailable"; }));
  EXPECT_FALSE(cache.ready().ok());
  auto away = cache.set("k", "2");
  ASSERT_FALSE(away.ok());
  EXPECT_EQ(away.error().http_status(), 503);
  EXPECT_GT(away.error().retry_after.count(), 0);
  const auto before = Clock::now();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(code_of(cache.get("k")), "unavailable");
  EXPECT_LT(Clock::now() - before, 5s) << "nobody waits for a Redis that is known to be away";
  // The other store is not concerned.
  EXPECT_EQ(cache.lease("b", 1, 10, 1)->granted(), 1);

  cache.cache_redis.start();
  EXPECT_TRUE(eventually([&] { return cache.set("k", "3").ok(); }));
  EXPECT_EQ((*cache.get("k")).value(), "3");
  EXPECT_TRUE(eventually([&] { return cache.ready().ok(); }));
}

TEST(CacheOutageTest, ChangesGoOnAfterRedisForgotItsScripts) {
  CacheHarness cache;
  ASSERT_TRUE(cache.set("k", "1").ok());
  cache.cache_redis.cli({"SCRIPT", "FLUSH"});
  EXPECT_TRUE(cache.set("k", "2").ok());
  cache.state_redis.cli({"SCRIPT", "FLUSH"});
  EXPECT_TRUE(cache.lease("b", 1, 1, 1).ok());
}

}  // namespace
}  // namespace raymesh::cache
