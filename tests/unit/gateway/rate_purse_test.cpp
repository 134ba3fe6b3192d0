#include "services/gateway/rate_purse.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "services/gateway/rate_limiter.hpp"

namespace raymesh::gateway {
namespace {

using namespace std::chrono_literals;
using State = RateLimiter::Verdict::State;
using Clock = RateLimiter::Clock;

TEST(RatePurseTest, GivesWhatItWasFilledWithToItsBucketUntilTheEnd) {
  const Clock::time_point now{};
  RatePurse purse;
  EXPECT_FALSE(purse.take(1, now));
  purse.fill(1, 2, now + 1s);
  EXPECT_FALSE(purse.take(2, now));
  EXPECT_TRUE(purse.take(1, now));
  EXPECT_FALSE(purse.take(1, now + 1s));
  EXPECT_EQ(purse.held(), 1);
  EXPECT_EQ(purse.empty(), 1);
  EXPECT_FALSE(purse.take(1, now));
  EXPECT_EQ(purse.empty(), 0);
}

// A limiter whose two threads are busy enough to draw ahead.
struct Busy {
  static constexpr BucketLimits kLimits{0.001, 100'000};

  RateLimiter limiter{10'000, 2};
  Clock::time_point now{};
  RateDraw draws[2];

  // One request; the number of tokens that were taken.
  int ask(const std::string& name, size_t thread) {
    if (draws[thread].take(now)) return 1;
    return limiter.spend(name, kLimits, now, thread, draws[thread]).state == State::kAdmitted;
  }
  // The number of tokens that were taken; `granted` are there.
  int warm_up(const std::string& name, double granted) {
    int taken = ask(name, 0);
    limiter.granted(name, {.granted = granted, .retry_after = {}, .life = 10s}, now);
    for (int i = 0; i < 100; ++i) taken += ask(name, 0);
    now += 100ms;
    taken += ask(name, 0) + ask(name, 1);
    EXPECT_GT(draws[0].purse->held(), 0);
    EXPECT_GT(draws[1].purse->held(), 0);
    return taken;
  }
};

TEST(RatePurseTest, NoTokenLiesInAPurseWhileAnotherThreadIsRefused) {
  // The same with and without threads that draw ahead: every token, and the credit.
  Busy alone;
  RateLimiter& plain = alone.limiter;
  int without = plain.spend("b", Busy::kLimits, alone.now).state == State::kAdmitted;
  plain.granted("b", {.granted = 1'000, .retry_after = {}, .life = 10s}, alone.now);
  while (plain.spend("b", Busy::kLimits, alone.now).state == State::kAdmitted) ++without;

  Busy busy;
  int with = busy.warm_up("b", 1'000);
  while (busy.ask("b", 1)) ++with;  // the other thread's purse is full
  EXPECT_EQ(busy.ask("b", 0), 0);
  EXPECT_EQ(with, without);
}

TEST(RatePurseTest, WhatWasDrawnEndsWithItsLease) {
  Busy busy;
  busy.warm_up("b", 1'000);
  busy.now += 10s;
  EXPECT_FALSE(busy.draws[0].take(busy.now));
  EXPECT_FALSE(busy.draws[1].take(busy.now));
  // Nor does it come back with the next lease.
  busy.limiter.granted("b", {.granted = 1, .retry_after = {}, .life = 10s}, busy.now);
  int taken = 0;
  while (busy.ask("b", 0)) ++taken;
  EXPECT_EQ(taken, 1);
}

TEST(RatePurseTest, WhatWasDrawnIsNotLostWhenItsLeaseIsRenewed) {
  Busy busy;
  int taken = busy.warm_up("b", 1'000);
  busy.now += 5s;
  busy.limiter.granted("b", {.granted = 500, .retry_after = {}, .life = 10s}, busy.now);
  busy.now += 6s;
  for (int i = 0; i < 200; ++i, busy.now += 1ms) taken += busy.ask("b", 0);
  while (busy.ask("b", 0)) ++taken;
  EXPECT_EQ(taken, 1'500);
}

TEST(RatePurseTest, WithoutLeasesNothingIsDrawnAhead) {
  Busy busy;
  busy.warm_up("b", 1'000);
  busy.limiter.failed("b", busy.now);
  for (RateDraw& draw : busy.draws) EXPECT_FALSE(draw.take(busy.now));
  for (int i = 0; i < 1'000; ++i) busy.ask("b", 0);
  EXPECT_FALSE(busy.draws[0].take(busy.now));
}

TEST(RatePurseTest, AForgottenBucketLeavesNothingToDraw) {
  Busy busy;
  busy.warm_up("b", 1'000);
  for (int i = 0; i < 20'000; ++i) busy.limiter.spend(std::to_string(i), {10, 100}, busy.now);
  for (RateDraw& draw : busy.draws) EXPECT_FALSE(draw.take(busy.now));
  // A new one of the name begins anew.
  EXPECT_TRUE(busy.limiter.spend("b", Busy::kLimits, busy.now, 0, busy.draws[0]).wish);
  EXPECT_FALSE(busy.draws[0].take(busy.now));
}

TEST(RatePurseTest, PursesGoFromIdleBucketsToBusyOnes) {
  Busy busy;
  // More than have purses at a time; "b" has some.
  busy.warm_up("b", 1'000);
  const RateDraw before = busy.draws[0];
  busy.now += 2s;
  for (int i = 0; i < 4'000; ++i) {
    const std::string name = std::to_string(i);
    busy.limiter.spend(name, Busy::kLimits, busy.now);
    busy.limiter.granted(name, {.granted = 1'000, .retry_after = {}, .life = 10s}, busy.now);
    for (int k = 0; k < 50; ++k) busy.limiter.spend(name, Busy::kLimits, busy.now);
  }
  busy.now += 100ms;
  int drawing = 0;
  for (int i = 0; i < 4'000; ++i) {
    RateDraw draw;
    busy.limiter.spend(std::to_string(i), Busy::kLimits, busy.now, 0, draw);
    drawing += draw.take(busy.now);
  }
  EXPECT_GT(drawing, 500);
  EXPECT_LE(drawing, 16 * 64);
  EXPECT_FALSE(before.take(busy.now));
  // Its tokens have gone back to it.
  int left = 0;
  while (busy.ask("b", 0)) ++left;
  EXPECT_GE(left, 1'000 - 103);
}

TEST(RatePurseTest, ThreadsTogetherSpendWhatWasLeasedAndNoMore) {
  constexpr size_t kThreads = 4;
  constexpr double kAll = 200'000;
  const BucketLimits limits{0.001, kAll};
  RateLimiter limiter(100, kThreads);
  std::mutex cluster;
  double left = kAll;
  std::atomic<int64_t> requests{0};  // make the time: 100,000 per second
  std::atomic<int64_t> admitted{0};
  std::atomic<int64_t> drawn{0};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      RateDraw draw;
      for (;;) {
        const Clock::time_point now{10us * requests.fetch_add(1)};
        if (draw.take(now)) {
          ++admitted;
          ++drawn;
          continue;
        }
        auto verdict = limiter.spend("b", limits, now, t, draw);
        if (verdict.wish) {
          std::lock_guard lock(cluster);
          const double granted = std::min(left, verdict.wish->want);
          left -= granted;
          limiter.granted("b", {.granted = granted, .retry_after = 1h, .life = 1h}, now);
        }
        if (verdict.state == State::kRefused) return;
        admitted += verdict.state == State::kAdmitted;
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(left, 0);
  // Nothing is left. What a lease that came late has made them spend on credit is not paid back.
  EXPECT_GE(admitted, kAll);
  EXPECT_LE(admitted, kAll * 1.02);
  EXPECT_GT(drawn, kAll / 2);
}

}  // namespace
}  // namespace raymesh::gateway
