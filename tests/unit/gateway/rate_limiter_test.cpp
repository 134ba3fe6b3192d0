#include "services/gateway/rate_limiter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>

namespace raymesh::gateway {
namespace {

using namespace std::chrono_literals;
using State = RateLimiter::Verdict::State;
using Clock = RateLimiter::Clock;

// The cluster's bucket, by the rules of cache.LeaseTokens.
struct ClusterBucket {
  BucketLimits limits;
  double tokens;
  Clock::time_point refilled;

  ClusterBucket(BucketLimits l, Clock::time_point now)
      : limits(l), tokens(l.burst), refilled(now) {}

  LeaseGrant lease(double want, Clock::time_point now) {
    tokens = std::min(limits.burst, tokens + std::chrono::duration<double>(now - refilled).count() *
                                                 limits.per_second);
    refilled = now;
    LeaseGrant grant;
    grant.granted = std::min(want, std::floor(tokens));
    tokens -= grant.granted;
    grant.life = 5s;
    if (grant.granted == 0)
      grant.retry_after = std::chrono::milliseconds(
          static_cast<int>(std::ceil((1 - tokens) / limits.per_second * 1000)));
    return grant;
  }
};

// A process with its limiter; leases take `delay` to come back. With threads each request comes on
// the next one of them.
struct Process {
  explicit Process(size_t threads = 0) : limiter(1000, threads), draws(threads) {}

  RateLimiter limiter;
  std::vector<RateDraw> draws;
  size_t next = 0;
  size_t drawn = 0;  // admitted with what had been drawn ahead
  struct Pending {
    Clock::time_point at;
    LeaseWish wish;
  };
  std::deque<Pending> pending;

  State ask(const BucketLimits& limits, Clock::time_point now, Clock::duration delay) {
    RateLimiter::Verdict verdict;
    if (draws.empty()) {
      verdict = limiter.spend("b", limits, now);
    } else {
      const size_t thread = next++ % draws.size();
      if (draws[thread].take(now)) return ++drawn, State::kAdmitted;
      verdict = limiter.spend("b", limits, now, thread, draws[thread]);
    }
    if (verdict.wish) pending.push_back({now + delay, *verdict.wish});
    return verdict.state;
  }
  void deliver(ClusterBucket& cluster, Clock::time_point now) {
    while (!pending.empty() && pending.front().at <= now) {
      limiter.granted("b", cluster.lease(pending.front().wish.want, now), now);
      pending.pop_front();
    }
  }
};

TEST(RateLimiterTest, ABurstUpToTheCapacityPassesAndNoMore) {
  const BucketLimits limits{10, 200};
  Clock::time_point now{};
  ClusterBucket cluster(limits, now);
  Process p;
  int admitted = 0;
  for (int i = 0; i < 1000; ++i) {
    State state = p.ask(limits, now, 0ms);
    p.deliver(cluster, now);
    while (state == State::kWait) {
      state = p.ask(limits, now, 0ms);
      p.deliver(cluster, now);
    }
    admitted += state == State::kAdmitted;
  }
  EXPECT_GE(admitted, 190);
  EXPECT_LE(admitted, 210);
}

TEST(RateLimiterTest, RefusalSaysWhenToComeBack) {
  const BucketLimits limits{10, 1};
  Clock::time_point now{};
  RateLimiter limiter(100);
  auto first = limiter.spend("b", limits, now);
  ASSERT_TRUE(first.wish);
  limiter.granted("b", {.granted = 0, .retry_after = 250ms, .life = {}}, now);
  const auto refused = limiter.spend("b", limits, now + 50ms);
  EXPECT_EQ(refused.state, State::kRefused);
  EXPECT_EQ(refused.retry_after, 200ms);
  EXPECT_FALSE(refused.wish);  // the cache has said when
  EXPECT_TRUE(limiter.spend("b", limits, now + 250ms).wish);
}

// Several processes share one bucket: over a while the cluster admits what the bucket allows.
class RateLimiterClusterTest : public ::testing::TestWithParam<std::pair<int, size_t>> {};

TEST_P(RateLimiterClusterTest, HoldsWithinTenPercent) {
  const auto [processes, threads] = GetParam();
  const BucketLimits limits{500, 500};
  Clock::time_point now{};
  ClusterBucket cluster(limits, now);
  std::deque<Process> all;
  for (int i = 0; i < processes; ++i) all.emplace_back(threads);
  std::mt19937 random(5);
  double admitted = 0;
  double refused = 0;
  const int steps = 20'000;  // 1 ms each, two requests per ms and cluster: twice the limit
  for (int i = 0; i < steps; ++i, now += 1ms) {
    for (auto& p : all) p.deliver(cluster, now);
    for (int k = 0; k < 2; ++k) {
      Process& p = all[random() % all.size()];
      const State state = p.ask(limits, now, 2ms);
      if (state == State::kAdmitted) admitted += 1;
      if (state == State::kRefused) refused += 1;
    }
  }
  const double allowed = limits.burst + limits.per_second * steps / 1000;
  EXPECT_GT(admitted, allowed * 0.9);
  EXPECT_LT(admitted, allowed * 1.1);
  EXPECT_GT(refused, 0);
}
INSTANTIATE_TEST_SUITE_P(ProcessesAndThreads, RateLimiterClusterTest,
                         ::testing::Values(std::pair(1, 0), std::pair(2, 0), std::pair(5, 0),
                                           std::pair(1, 2), std::pair(2, 2), std::pair(5, 4)));

TEST(RateLimiterTest, BelowTheLimitNobodyWaitsOrIsRefused) {
  for (const size_t threads : {0, 1, 4}) {
    const BucketLimits limits{10'000, 10'000};
    Clock::time_point now{};
    ClusterBucket cluster(limits, now);
    Process p(threads);
    for (int i = 0; i < 50'000; ++i, now += 200us) {  // 5,000 per second
      p.deliver(cluster, now);
      ASSERT_EQ(p.ask(limits, now, 5ms), State::kAdmitted) << i;
    }
    EXPECT_GE(p.drawn, threads > 0 ? 40'000u : 0u);
  }
}

TEST(RateLimiterTest, WaitersWakeWhenTheLeaseIsAnswered) {
  const BucketLimits limits{10, 100};
  Clock::time_point now{};
  RateLimiter limiter(100);
  EXPECT_FALSE(limiter.wait("b", [] { FAIL(); }));  // no such bucket
  State state = State::kAdmitted;
  while (state == State::kAdmitted) state = limiter.spend("b", limits, now).state;
  ASSERT_EQ(state, State::kWait);
  int woken = 0;
  EXPECT_TRUE(limiter.wait("b", [&] { ++woken; }));
  EXPECT_TRUE(limiter.wait("b", [&] { ++woken; }));
  limiter.granted("b", {.granted = 50, .retry_after = {}, .life = 5s}, now);
  EXPECT_EQ(woken, 2);
  EXPECT_EQ(limiter.spend("b", limits, now).state, State::kAdmitted);
  EXPECT_FALSE(limiter.wait("b", [] { FAIL(); }));  // nothing is under way
}

TEST(RateLimiterTest, WaitersWakeWhenTheirBucketIsForgotten) {
  RateLimiter limiter(1);  // one bucket per shard
  int woken = 0;
  Clock::time_point now{};
  while (limiter.spend("b", {10, 100}, now).state == State::kAdmitted) {
  }
  ASSERT_TRUE(limiter.wait("b", [&] { ++woken; }));
  for (int i = 0; i < 1000; ++i) limiter.spend(std::to_string(i), {10, 100}, now);
  EXPECT_EQ(woken, 1);
  EXPECT_LE(limiter.buckets(), 16u);
}

TEST(RateLimiterTest, KeepsToTheLimitByItselfWhileLeasesFail) {
  const BucketLimits limits{100, 50};
  Clock::time_point now{};
  RateLimiter limiter(100);
  int admitted = 0;
  int leases = 0;
  for (int i = 0; i < 10'000; ++i, now += 1ms) {  // 1,000 per second for ten seconds
    auto verdict = limiter.spend("b", limits, now);
    EXPECT_NE(verdict.state, State::kWait);
    admitted += verdict.state == State::kAdmitted;
    if (verdict.wish) {
      ++leases;
      limiter.failed("b", now);
    }
  }
  EXPECT_GT(admitted, (50 + 1000) * 0.9);
  EXPECT_LT(admitted, (50 + 1000) * 1.1);
  EXPECT_LE(leases, 11);  // it asks about once per second
}

TEST(RateLimiterTest, TokensOfALeaseEndWithIt) {
  const BucketLimits limits{10, 1000};
  Clock::time_point now{};
  RateLimiter limiter(100);
  auto first = limiter.spend("b", limits, now);
  ASSERT_TRUE(first.wish);
  limiter.granted("b", {.granted = 40, .retry_after = {}, .life = 1s}, now);
  EXPECT_FALSE(limiter.spend("b", limits, now + 500ms).wish);
  EXPECT_TRUE(limiter.spend("b", limits, now + 1s).wish);
}

TEST(RateLimiterTest, ARefundGivesTheTokenBack) {
  const BucketLimits limits{0.001, 1};
  Clock::time_point now{};
  RateLimiter limiter(100);
  limiter.spend("b", limits, now);
  limiter.failed("b", now);
  ASSERT_EQ(limiter.spend("b", limits, now).state, State::kRefused);
  limiter.refund("b");
  EXPECT_EQ(limiter.spend("b", limits, now).state, State::kAdmitted);
}

}  // namespace
}  // namespace raymesh::gateway
