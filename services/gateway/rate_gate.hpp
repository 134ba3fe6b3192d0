// The rate limits of requests: one bucket for each API key, and one for each key and client
// address. Carries the RateLimiter's wishes to the cache service. Thread-safe; owned by the Core.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "libs/base/unique_function.hpp"
#include "services/gateway/api_key_cache.hpp"
#include "services/gateway/rate_limiter.hpp"

namespace raymesh::gateway {

struct Core;

/// The buckets that an I/O thread has lately spent from, so that a request that comes again with
/// the same key from the same address needs no names. One for each I/O thread, used on it alone.
class RatePasses {
 public:
  struct Pass {
    KeyInfoPtr key;
    std::string address;
    RateDraw key_draw, address_draw;
  };

  explicit RatePasses(size_t thread) : thread_(thread) {}
  size_t thread() const { return thread_; }
  Pass& find(const KeyInfoPtr& key, const std::string& address);

 private:
  static constexpr size_t kPasses = 256;

  const size_t thread_;
  std::array<Pass, kPasses> passes_;
};

class RateGate {
 public:
  using Clock = std::chrono::steady_clock;

  /// For I/O threads with the numbers 0 to `threads` - 1.
  RateGate(Core& core, size_t threads);

  struct Verdict {
    RateLimiter::Verdict::State state;
    std::chrono::milliseconds retry_after;
    const char* which;  // for the message of a refusal
  };
  /// How far a request has come; a waiting one gives it back.
  enum class Passed : uint8_t { kNothing, kKey };
  /// Takes a token of each bucket. On kWait `on_answer` runs later on any thread, once, and must
  /// only hand over; then ask again with the same `passed`. `make_waiter` makes it.
  template <class MakeWaiter>
  Verdict admit(RatePasses& passes, const KeyInfoPtr& key, const std::string& address,
                Passed& passed, Clock::time_point now, MakeWaiter&& make_waiter) {
    RatePasses::Pass& pass = passes.find(key, address);
    if (passed == Passed::kNothing && pass.key_draw.take(now)) passed = Passed::kKey;
    if (passed == Passed::kKey && pass.address_draw.take(now))
      return {RateLimiter::Verdict::State::kAdmitted, {}, nullptr};
    for (;;) {
      std::string bucket;
      const Verdict verdict = try_once(passes.thread(), pass, passed, now, bucket);
      if (verdict.state != RateLimiter::Verdict::State::kWait) return verdict;
      if (limiter_.wait(bucket, make_waiter())) return verdict;
      now = Clock::now();
    }
  }

  size_t buckets() const { return limiter_.buckets(); }

 private:
  Verdict try_once(size_t thread, RatePasses::Pass& pass, Passed& passed, Clock::time_point now,
                   std::string& waits_for);
  void carry(LeaseWish wish);

  Core& core_;
  RateLimiter limiter_;
  std::atomic<int64_t> leases_{0};
};

}  // namespace raymesh::gateway
