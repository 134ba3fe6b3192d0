#include <gtest/gtest.h>

#include "tests/db/cache/cache_harness.hpp"

namespace raymesh::cache {
namespace {

using namespace std::string_literals;

TEST(CacheIsolationTest, NoKeyReachesAnotherProjectsEntries) {
  CacheHarness cache;
  ASSERT_TRUE(cache.set("secret", "\"theirs\"", 0, false, "victim").ok());
  // Keys that would reach it if names were put together without care, or patterns were followed.
  for (const std::string& key :
       {"secret"s, "victim:secret"s, ":victim:secret"s, "v:victim:secret"s, "../victim/secret"s,
        "*"s, "?ictim:secret"s, "\0victim:secret"s, "\r\nGET v:victim:secret\r\n"s,
        "v:victim:secret\0"s, "{victim}:secret"s, "\xff\xfe"s}) {
    EXPECT_EQ(*cache.get(key, "attacker"), std::nullopt) << key;
    EXPECT_FALSE(*cache.erase(key, "attacker")) << key;
    ASSERT_TRUE(*cache.set(key, "\"mine\"", 0, false, "attacker")) << key;
    EXPECT_EQ((*cache.get(key, "attacker")).value(), "\"mine\"") << key;
  }
  EXPECT_EQ((*cache.get("secret", "victim")).value(), "\"theirs\"");
  for (const char* project : {"victim:secret", "v:victim", "*", "victim\n", "Victim"})
    EXPECT_EQ(code_of(cache.get("secret", project)), "invalid_request") << project;
}

TEST(CacheIsolationTest, AnEntryNeverTouchesUsageOrLeases) {
  CacheHarness cache(1u << 20);
  ASSERT_TRUE(cache.set("k", "1", 0, false, "one").ok());
  ASSERT_TRUE(cache.set("u:one", "999999999", 0, false, "one").ok());
  ASSERT_TRUE(cache.set("one", "999999999", 0, false, "u").ok());
  EXPECT_LT(std::stoll(cache.cache_redis.cli({"GET", "u:one"})), 1000);
}

}  // namespace
}  // namespace raymesh::cache
