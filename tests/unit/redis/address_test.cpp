#include "libs/redis/address.hpp"

#include <gtest/gtest.h>

namespace raymesh::redis {
namespace {

TEST(RedisAddressTest, ReadsTcpForms) {
  auto a = parse_address("10.0.0.1:7000");
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(a->host, "10.0.0.1");
  EXPECT_EQ(a->port, 7000);
  EXPECT_EQ(a->name(), "10.0.0.1:7000");

  a = parse_address("redis://cache.example");
  ASSERT_TRUE(a.ok()) << a.error().message;
  EXPECT_EQ(a->host, "cache.example");
  EXPECT_EQ(a->port, 6379);
  EXPECT_EQ(a->database, 0);

  a = parse_address("redis://me:p%40ss%2Fword@[::1]:6400/3");
  ASSERT_TRUE(a.ok()) << a.error().message;
  EXPECT_EQ(a->user, "me");
  EXPECT_EQ(a->password, "p@ss/word");
  EXPECT_EQ(a->host, "::1");
  EXPECT_EQ(a->port, 6400);
  EXPECT_EQ(a->database, 3);
  EXPECT_EQ(a->name(), "[::1]:6400/3");

  a = parse_address("redis://:secret@localhost:1/");
  ASSERT_TRUE(a.ok()) << a.error().message;
  EXPECT_EQ(a->user, "");
  EXPECT_EQ(a->password, "secret");
}

TEST(RedisAddressTest, ReadsUnixForms) {
  auto a = parse_address("unix:/run/redis.sock");
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(a->path, "/run/redis.sock");
  EXPECT_EQ(a->name(), "unix:/run/redis.sock");
  a = parse_address("unix:///run/redis.sock?database=2");
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(a->path, "/run/redis.sock");
  EXPECT_EQ(a->database, 2);
}

TEST(RedisAddressTest, RefusesWhatIsNone) {
  for (const char* text :
       {"", "host", ":6379", "host:0", "host:x", "redis://", "redis://user@host:1", "redis://h:1/x",
        "redis://h:1/-1", "unix:", "unix:relative", "unix:/s?db=1", "redis://:%zz@h:1"})
    EXPECT_FALSE(parse_address(text).ok()) << text;
  EXPECT_FALSE(parse_address("unix:/" + std::string(200, 'x')).ok());
}

TEST(RedisAddressTest, AMessageNeverShowsThePassword) {
  auto a = parse_address("redis://me:hunter2@host:notaport");
  ASSERT_FALSE(a.ok());
  EXPECT_EQ(a.error().message.find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace raymesh::redis
