#include "libs/net/timer_wheel.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace raymesh::net {
namespace {

using namespace std::chrono_literals;

struct Timer : WheelTimer {
  int fired = 0;
  std::function<void()> then;
  void on_timeout() override {
    ++fired;
    if (then) then();
  }
};

struct TimerWheelTest : ::testing::Test {
  TimerWheel::Clock::time_point now{};
  TimerWheel wheel{100ms, now};
  void pass(std::chrono::milliseconds time) { wheel.advance(now += time); }
};

TEST_F(TimerWheelTest, FiresNeverEarlyAndAtMostOneTickLate) {
  for (auto delay : {0ms, 1ms, 99ms, 100ms, 101ms, 12'345ms, 75'000ms}) {
    Timer t;
    wheel.arm(t, delay, now);
    auto waited = 0ms;
    while (t.fired == 0) {
      EXPECT_LE(waited, delay + 100ms);
      pass(1ms);
      waited += 1ms;
    }
    EXPECT_GE(waited, delay);
    EXPECT_EQ(wheel.armed(), 0u);
  }
}

TEST_F(TimerWheelTest, DisarmedAndDestroyedTimersDoNotFire) {
  Timer a;
  {
    Timer b;
    wheel.arm(a, 200ms, now);
    wheel.arm(b, 200ms, now);
    EXPECT_EQ(wheel.armed(), 2u);
  }
  EXPECT_EQ(wheel.armed(), 1u);
  a.disarm();
  pass(1000ms);
  EXPECT_EQ(a.fired, 0);
}

TEST_F(TimerWheelTest, ArmingAgainMovesTheTime) {
  Timer t;
  wheel.arm(t, 200ms, now);
  pass(100ms);
  wheel.arm(t, 1000ms, now);
  pass(500ms);
  EXPECT_EQ(t.fired, 0);
  pass(700ms);
  EXPECT_EQ(t.fired, 1);
}

TEST_F(TimerWheelTest, HandlersMayArmAndDisarmOthers) {
  Timer a, b, c;
  a.then = [&] {
    b.disarm();
    wheel.arm(a, 25'600ms, now);  // the same slot, one turn later
  };
  wheel.arm(a, 100ms, now);
  wheel.arm(b, 100ms, now);
  wheel.arm(c, 100ms, now);
  pass(300ms);
  EXPECT_EQ(a.fired, 1);
  EXPECT_EQ(b.fired, 0);
  EXPECT_EQ(c.fired, 1);
  EXPECT_EQ(wheel.armed(), 1u);
  a.then = nullptr;
  pass(60s);
  EXPECT_EQ(a.fired, 2);
}

TEST_F(TimerWheelTest, StandsStillWhileNothingIsArmed) {
  pass(24h);
  Timer t;
  wheel.arm(t, 100ms, now);
  pass(99ms);
  EXPECT_EQ(t.fired, 0);
  pass(201ms);
  EXPECT_EQ(t.fired, 1);
}

}  // namespace
}  // namespace raymesh::net
