#include "services/cache/keyspace.hpp"

#include <gtest/gtest.h>

namespace raymesh::cache {
namespace {

using namespace std::string_literals;

TEST(KeyspaceTest, NoKeyOfOneProjectIsAKeyOfAnother) {
  // Whatever the key, the name says where the project ends.
  EXPECT_EQ(entry_name("a", "b:c"), "v:a:b:c");
  EXPECT_NE(entry_name("a", "b:c"), entry_name("a-b", "c"));
  for (const std::string& project :
       {"a:b"s, "a*"s, "A"s, "a b"s, "a\0"s, ""s, std::string(64, 'a'), "ä"s})
    EXPECT_FALSE(check_entry(project, "k").ok()) << project;
  for (const char* project : {"dev", "p-1_x", "0"})
    EXPECT_TRUE(check_entry(project, "k").ok()) << project;
}

TEST(KeyspaceTest, EntriesUsageAndLeasesNeverMeet) {
  EXPECT_EQ(entry_name("p", "x").substr(0, 2), "v:");
  EXPECT_EQ(usage_name("p"), "u:p");
  EXPECT_EQ(entries_pattern("p"), "v:p:*");
}

TEST(KeyspaceTest, BoundsKeys) {
  EXPECT_TRUE(check_entry("p", std::string(kMaxKeyBytes, '\xff')).ok());
  EXPECT_TRUE(check_entry("p", "\0"s).ok());
  Status empty = check_entry("p", "");
  ASSERT_FALSE(empty.ok());
  EXPECT_EQ(empty.error().message, "key is required");
  Status longer = check_entry("p", std::string(kMaxKeyBytes + 1, 'k'));
  ASSERT_FALSE(longer.ok());
  EXPECT_TRUE(longer.error().is(errors::kInvalidRequest));
}

TEST(KeyspaceTest, BoundsLifetimes) {
  EXPECT_TRUE(check_ttl(0).ok());
  EXPECT_TRUE(check_ttl(kMaxTtlSeconds).ok());
  EXPECT_FALSE(check_ttl(kMaxTtlSeconds + 1).ok());
  EXPECT_FALSE(check_ttl(UINT64_MAX).ok());
}

}  // namespace
}  // namespace raymesh::cache
