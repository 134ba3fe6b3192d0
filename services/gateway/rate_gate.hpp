// The rate limits of requests: one bucket for each API key, and one for each key and client
// address. Carries the RateLimiter's wishes to the cache service. Thread-safe; owned by the Core.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "libs/base/unique_function.hpp"
#include "services/gateway/api_key_cache.hpp"
#include "services/gateway/rate_limiter.hpp"

namespace raymesh::gateway {

struct Core;

class RateGate {
 public:
  using Clock = std::chrono::steady_clock;

  explicit RateGate(Core& core);

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
  Verdict admit(const KeyInfo& key, const std::string& address, Passed& passed,
                Clock::time_point now, MakeWaiter&& make_waiter) {
    for (;;) {
      std::string bucket;
      const Verdict verdict = try_once(key, address, passed, now, bucket);
      if (verdict.state != RateLimiter::Verdict::State::kWait) return verdict;
      if (limiter_.wait(bucket, make_waiter())) return verdict;
      now = Clock::now();
    }
  }

  size_t buckets() const { return limiter_.buckets(); }

 private:
  Verdict try_once(const KeyInfo& key, const std::string& address, Passed& passed,
                   Clock::time_point now, std::string& waits_for);
  void carry(LeaseWish wish);

  Core& core_;
  RateLimiter limiter_;
  std::atomic<int64_t> leases_{0};
};

}  // namespace raymesh::gateway
