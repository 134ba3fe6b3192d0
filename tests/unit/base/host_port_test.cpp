#include "libs/base/host_port.hpp"

#include <gtest/gtest.h>

namespace raymesh {
namespace {

TEST(HostPortTest, ReadsNamesAddressesAndEveryInterface) {
  struct Case {
    const char* text;
    const char* host;
    int port;
  };
  for (const Case& c :
       {Case{"127.0.0.1:5002", "127.0.0.1", 5002}, Case{"localhost:0", "localhost", 0},
        Case{"[::1]:65535", "::1", 65535}, Case{":4000", "", 4000}}) {
    auto parsed = parse_host_port(c.text);
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    EXPECT_EQ(parsed->host, c.host);
    EXPECT_EQ(parsed->port, c.port);
    EXPECT_EQ(parsed->to_string(), c.text);
  }
}

TEST(HostPortTest, RefusalsQuoteTheText) {
  for (const char* text :
       {"", "localhost", "localhost:", "localhost:65536", "localhost:-1", "localhost:80x", "::1:80",
        "[::1]80", "[::1:80", "[localhost]:80", "a b:80", "a/b:80", "a\n:80"}) {
    auto parsed = parse_host_port(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(parsed.error().message.find(text), std::string::npos) << parsed.error().message;
  }
}

TEST(HostPortTest, LoopbackIsWhatOnlyThisMachineReaches) {
  for (const char* host : {"localhost", "127.0.0.1", "127.9.9.9", "::1"})
    EXPECT_TRUE(is_loopback_host(host)) << host;
  for (const char* host : {"", "0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example.com", "localhost.",
                           "128.0.0.1", "::ffff:127.0.0.1"})
    EXPECT_FALSE(is_loopback_host(host)) << host;
}

}  // namespace
}  // namespace raymesh
