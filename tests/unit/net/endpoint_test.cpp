#include "libs/net/endpoint.hpp"

#include <gtest/gtest.h>

namespace raymesh::net {
namespace {

TEST(EndpointTest, ReadsAddresses) {
  const auto one = [](const char* text) {
    const auto endpoints = parse_endpoints(text);
    EXPECT_EQ(endpoints->size(), 1u) << text;
    return endpoints->front();
  };
  EXPECT_EQ(one("127.0.0.1:4000").port(), 4000);
  EXPECT_TRUE(one("[::1]:0").address().is_v6());
  EXPECT_TRUE(one("*:1").address().is_unspecified());
  EXPECT_TRUE(one(":1").address().is_unspecified());
}

TEST(EndpointTest, LocalhostIsTwoAddresses) {
  const auto both = *parse_endpoints("localhost:7");
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0].address().to_string(), "127.0.0.1");
  EXPECT_EQ(both[1].address().to_string(), "::1");
  EXPECT_EQ(both[0].port(), 7);
  EXPECT_EQ(both[1].port(), 7);
}

TEST(EndpointTest, RefusesWithTheTextInTheMessage) {
  for (auto text : {"", "4000", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:", "::1:80",
                    "example.com:80", "127.0.0.1:80x"}) {
    auto result = parse_endpoints(text);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_NE(result.error().message.find(text), std::string::npos);
  }
}

TEST(EndpointTest, KnowsLoopbackAuthorities) {
  for (auto text : {"localhost", "LOCALHOST:4000", "app.localhost:1", "127.0.0.1", "127.9.9.9:80",
                    "[::1]", "[::1]:4000"})
    EXPECT_TRUE(is_loopback_authority(text)) << text;
  for (auto text : {"", "example.com", "localhost.example.com", "127.0.0.1.example.com", "10.0.0.1",
                    "0.0.0.0:4000", "[::1", "[::1]x", "localhost:x", "localhost:80:80",
                    "notlocalhost", ".localhost", "user@localhost"})
    EXPECT_FALSE(is_loopback_authority(text)) << text;
}

}  // namespace
}  // namespace raymesh::net
