#include "services/gateway/raystream_limits.hpp"

#include <gtest/gtest.h>

namespace raymesh::gateway {
namespace {

using namespace std::chrono_literals;

const RaystreamLimits::Clock::time_point kStart{1'000s};

RaystreamConfig small() {
  RaystreamConfig config;
  config.max_sessions = 4;
  config.max_unattached = 3;
  config.max_unattached_per_address = 2;
  config.handshake_rate = 50;
  config.address_handshake_rate = 1;
  config.address_handshake_burst = 3;
  return config;
}

TEST(RaystreamLimitsTest, BoundsStrangersOfOneAddressAndOfAll) {
  const RaystreamConfig config = small();
  RaystreamLimits limits(config, kStart);
  EXPECT_TRUE(limits.open("a"));
  EXPECT_TRUE(limits.open("a"));
  EXPECT_FALSE(limits.open("a"));
  EXPECT_TRUE(limits.open("b"));
  EXPECT_FALSE(limits.open("c"));
  limits.closed("a", false);
  EXPECT_TRUE(limits.open("c"));
  EXPECT_EQ(limits.unattached(), 3u);
}

TEST(RaystreamLimitsTest, AttachedOnesAreNoStrangersButSessions) {
  const RaystreamConfig config = small();
  RaystreamLimits limits(config, kStart);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(limits.open("a"));
    limits.attached("a");
  }
  EXPECT_EQ(limits.unattached(), 0u);
  EXPECT_FALSE(limits.open("b"));
  limits.closed("a", true);
  EXPECT_TRUE(limits.open("b"));
  limits.closed("b", false);
  for (int i = 0; i < 3; ++i) limits.closed("a", true);
  EXPECT_EQ(limits.sessions(), 0u);
}

TEST(RaystreamLimitsTest, HandshakesOfOneAddressHaveARate) {
  const RaystreamConfig config = small();
  RaystreamLimits limits(config, kStart);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limits.handshake("a", kStart));
  EXPECT_FALSE(limits.handshake("a", kStart));
  EXPECT_TRUE(limits.handshake("b", kStart));
  EXPECT_FALSE(limits.handshake("a", kStart + 900ms));
  EXPECT_TRUE(limits.handshake("a", kStart + 1100ms));
  EXPECT_FALSE(limits.handshake("a", kStart + 1200ms));
}

TEST(RaystreamLimitsTest, AnAddressThatFloodsTakesNothingFromTheOthers) {
  const RaystreamConfig config = small();  // all together: 5 at once
  RaystreamLimits limits(config, kStart);
  for (int i = 0; i < 1'000; ++i) (void)limits.handshake("a", kStart);
  EXPECT_TRUE(limits.handshake("b", kStart));
  EXPECT_TRUE(limits.handshake("c", kStart));
  EXPECT_FALSE(limits.handshake("d", kStart));
}

}  // namespace
}  // namespace raymesh::gateway
