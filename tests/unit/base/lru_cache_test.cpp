#include "libs/base/lru_cache.hpp"

#include <gtest/gtest.h>

#include <string>

namespace raymesh {
namespace {

TEST(LruCacheTest, ForgetsWhatWasUsedLongestAgo) {
  LruCache<int, std::string> cache(2);
  cache.put(1, "one");
  cache.put(2, "two");
  ASSERT_NE(cache.get(1), nullptr);
  cache.put(3, "three");
  EXPECT_EQ(cache.get(2), nullptr);
  EXPECT_EQ(*cache.get(1), "one");
  EXPECT_EQ(*cache.get(3), "three");
  EXPECT_EQ(cache.size(), 2u);
}

TEST(LruCacheTest, PutReplacesTheValueAndCountsAsUse) {
  LruCache<int, int> cache(2);
  cache.put(1, 10);
  cache.put(2, 20);
  cache.put(1, 11);
  cache.put(3, 30);
  EXPECT_EQ(*cache.get(1), 11);
  EXPECT_EQ(cache.get(2), nullptr);
}

TEST(LruCacheTest, EraseSaysWhetherThereWasSomething) {
  LruCache<int, int> cache(2);
  cache.put(1, 10);
  EXPECT_TRUE(cache.erase(1));
  EXPECT_FALSE(cache.erase(1));
  cache.put(2, 20);
  cache.clear();
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(cache.get(2), nullptr);
}

TEST(LruCacheTest, NeverHoldsMoreThanItsCapacity) {
  LruCache<int, int> cache(10);
  for (int i = 0; i < 1000; ++i) {
    cache.put(i, i);
    EXPECT_LE(cache.size(), 10u);
  }
}

}  // namespace
}  // namespace raymesh
