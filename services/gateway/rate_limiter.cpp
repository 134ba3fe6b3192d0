#include "services/gateway/rate_limiter.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace raymesh::gateway {
namespace {

using std::chrono::milliseconds;

// How long a process goes on by itself before it asks the cache service again.
constexpr milliseconds kLocalPeriod{1'000};
// A block covers about this long of what the bucket was lately used for.
constexpr double kBlockSeconds = 0.25;
// Share of the capacity that one process may hold or owe. With the cluster's limit within 10 %,
// and two processes that hold a block each while a third refuses, it must stay well below a tenth.
constexpr double kBlockShare = 0.04;
constexpr double kCreditShare = 0.02;
constexpr milliseconds kDemandPeriod{100};
// After a lease that gave less than asked for, the next one is asked for not before this.
constexpr milliseconds kRefillPause{20};
constexpr milliseconds kLongestPause{60'000};

// A thread draws ahead what it spends in about this time.
constexpr double kDrawSeconds = 0.05;
constexpr double kMaxDraw = 64;
// Purses that have not been filled for so long may go to another bucket.
constexpr milliseconds kPursesIdle{1'000};
constexpr size_t kPursesLookedAt = 4;

milliseconds at_least_one(double seconds) {
  return milliseconds(std::max<int64_t>(1, static_cast<int64_t>(std::ceil(seconds * 1'000))));
}

}  // namespace

RateLimiter::RateLimiter(size_t max_buckets, size_t threads) : threads_(threads) {
  for (auto& shard : shards_)
    shard = std::make_unique<Shard>(std::max<size_t>(1, max_buckets / kShards));
}

RateLimiter::Shard& RateLimiter::shard_of(const std::string& bucket) {
  return *shards_[std::hash<std::string>()(bucket) % kShards];
}

double RateLimiter::credit(const BucketLimits& limits) {
  return std::max(1.0, limits.burst * kCreditShare);
}

double RateLimiter::block(const Bucket& b) {
  const double most = std::max(1.0, b.limits.burst * kBlockShare);
  return b.demand < 0 ? most : std::clamp(b.demand * kBlockSeconds, 1.0, most);
}

void RateLimiter::Waiters::wake_all() {
  for (auto& waiter : std::exchange(all_, {})) waiter();
}

RateLimiter::Bucket& RateLimiter::add(Shard& shard, const std::string& name,
                                      Clock::time_point now) const {
  if (shard.buckets.size() >= shard.buckets.capacity()) {
    auto oldest = shard.buckets.pop_oldest();  // its waiters wake
    if (Purses* purses = oldest->second.purses) {
      take_all_back(oldest->second);
      purses->of = nullptr;
    }
  }
  Bucket& b = shard.buckets.put(name, {});
  b.id = ++shard.last_id;
  b.measured = b.refilled = now;
  return b;
}

void RateLimiter::measure(Bucket& b, Clock::time_point now) const {
  if (now - b.measured < kDemandPeriod) return;
  const double seconds = std::chrono::duration<double>(now - b.measured).count();
  const double in_purses = held(b);
  const double rate = std::max(0.0, b.spent - (in_purses - b.held_before)) / seconds;
  b.demand = seconds > 1 || b.demand < 0 ? rate : 0.5 * (b.demand + rate);
  b.spent = 0;
  b.held_before = in_purses;
  b.measured = now;
}

double RateLimiter::held(const Bucket& b) const {
  double sum = 0;
  for (size_t i = 0; b.purses && i < threads_; ++i) sum += b.purses->by_thread[i].held();
  return sum;
}

void RateLimiter::take_back(Bucket& b, RatePurse& purse) {
  const double tokens = purse.empty();
  b.tokens += tokens;
  b.spent -= tokens;
}

void RateLimiter::take_all_back(Bucket& b) const {
  for (size_t i = 0; b.purses && i < threads_; ++i) take_back(b, b.purses->by_thread[i]);
}

bool RateLimiter::find_purses(Shard& shard, Bucket& b, Clock::time_point now) const {
  if (b.purses) return true;
  auto& all = shard.purses;
  for (size_t i = 0; i < std::min(kPursesLookedAt, all.size()) && !b.purses; ++i) {
    Purses& purses = *all[shard.next_purses++ % all.size()];
    if (purses.of && now - purses.drawn < kPursesIdle) continue;
    if (purses.of) {
      take_all_back(*purses.of);
      purses.of->purses = nullptr;
    }
    b.purses = &purses;
  }
  if (!b.purses && all.size() < kMaxPurses) {
    b.purses = all.emplace_back(std::make_unique<Purses>()).get();
    b.purses->by_thread = std::make_unique<RatePurse[]>(threads_);
  }
  if (b.purses) b.purses->of = &b;
  return b.purses != nullptr;
}

// Leaves most of what there is to the other threads, so that they rarely have to take it back.
void RateLimiter::draw_ahead(Shard& shard, Bucket& b, Clock::time_point now, size_t thread,
                             RateDraw& draw) const {
  const auto threads = static_cast<double>(threads_);
  const auto tokens =
      std::floor(std::min({kMaxDraw, b.demand * kDrawSeconds / threads, b.tokens / (2 * threads)}));
  if (tokens < 2 || !find_purses(shard, b, now)) return;
  RatePurse& purse = b.purses->by_thread[thread];
  purse.fill(b.id, static_cast<int64_t>(tokens), b.expires);
  b.purses->drawn = now;
  b.tokens -= tokens;
  b.spent += tokens;
  draw = {&purse, b.id};
}

RateLimiter::Verdict RateLimiter::spend(const std::string& name, const BucketLimits& limits,
                                        Clock::time_point now, size_t thread, RateDraw* draw) {
  Shard& shard = shard_of(name);
  std::lock_guard lock(shard.mutex);
  Bucket* b = shard.buckets.get(name);
  if (!b) b = &add(shard, name, now);
  b->limits = limits;
  if (b->purses) {
    if (draw) take_back(*b, b->purses->by_thread[thread]);
    // What is decided below is decided over all tokens that there are.
    if (b->tokens < 1 || now >= b->expires) take_all_back(*b);
  }
  measure(*b, now);

  const bool local = now < b->local_until;
  if (local) {
    const double elapsed = std::chrono::duration<double>(now - b->refilled).count();
    b->tokens = std::min(limits.burst, b->tokens + elapsed * limits.per_second);
    b->refilled = now;
  } else if (b->tokens > 0 && now >= b->expires) {
    b->tokens = 0;  // a lease that has run out
  }

  Verdict verdict;
  const bool refused_by_cluster = !local && b->tokens < 1 && now < b->retry;
  if (refused_by_cluster) {
    verdict.state = Verdict::State::kRefused;
    verdict.retry_after = at_least_one(std::chrono::duration<double>(b->retry - now).count());
  } else if (b->tokens - 1 >= (local ? 0 : -credit(limits))) {
    b->tokens -= 1;
    b->spent += 1;
    if (draw && !local) draw_ahead(shard, *b, now, thread, *draw);
  } else if (local || b->waiters.size() >= kMaxWaiters) {
    verdict.state = Verdict::State::kRefused;
    verdict.retry_after =
        at_least_one((1 - std::min(b->tokens, 1.0)) / std::max(limits.per_second, 1e-6));
  } else {
    verdict.state = Verdict::State::kWait;
  }

  const double left = b->tokens + held(*b);
  if (!local && !b->leasing && now >= b->retry && left < block(*b) / 2) {
    b->leasing = true;
    b->asked = std::max(1.0, std::ceil(block(*b) - left + static_cast<double>(b->waiters.size())));
    verdict.wish = LeaseWish{name, limits, b->asked};
  }
  return verdict;
}

bool RateLimiter::wait(const std::string& name, UniqueFunction<void()> on_answer) {
  Shard& shard = shard_of(name);
  std::lock_guard lock(shard.mutex);
  Bucket* b = shard.buckets.get(name);
  if (!b || !b->leasing) return false;
  b->waiters.add(std::move(on_answer));
  return true;
}

void RateLimiter::refund(const std::string& name) {
  Shard& shard = shard_of(name);
  std::lock_guard lock(shard.mutex);
  if (Bucket* b = shard.buckets.get(name)) {
    b->tokens += 1;
    b->spent -= 1;
  }
}

void RateLimiter::granted(const std::string& name, const LeaseGrant& grant, Clock::time_point now) {
  Shard& shard = shard_of(name);
  std::lock_guard lock(shard.mutex);
  Bucket* b = shard.buckets.get(name);
  if (!b) return;
  b->leasing = false;
  b->local_until = {};
  b->waiters.wake_all();
  if (now >= b->expires) {
    take_all_back(*b);
    b->tokens = std::min(b->tokens, 0.0);
  }
  b->tokens += grant.granted;
  if (grant.granted > 0) b->expires = now + grant.life;
  b->retry = {};
  if (grant.granted < b->asked) {
    // That was all there is: until the cluster's bucket has filled a little, who finds no token
    // here is refused instead of waiting for one.
    const milliseconds one_token = at_least_one(1 / std::max(b->limits.per_second, 1e-6));
    b->retry = now + (grant.granted > 0 ? std::max(kRefillPause, std::min(one_token, kLongestPause))
                                        : std::max(grant.retry_after, milliseconds(1)));
  }
}

void RateLimiter::failed(const std::string& name, Clock::time_point now) {
  Shard& shard = shard_of(name);
  std::lock_guard lock(shard.mutex);
  Bucket* b = shard.buckets.get(name);
  if (!b) return;
  b->leasing = false;
  b->waiters.wake_all();
  // Without leases every token is counted here, under the lock.
  take_all_back(*b);
  // The first failure starts with a full bucket, as a fresh process would; later ones go on.
  const bool was_local = b->local_until != Clock::time_point{};
  if (!was_local) {
    b->tokens += b->limits.burst;
    b->refilled = now;
  }
  b->local_until = now + kLocalPeriod;
}

size_t RateLimiter::buckets() const {
  size_t n = 0;
  for (const auto& shard : shards_) {
    std::lock_guard lock(shard->mutex);
    n += shard->buckets.size();
  }
  return n;
}

}  // namespace raymesh::gateway
