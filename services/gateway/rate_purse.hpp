// Tokens that a thread has drawn from a bucket of the RateLimiter before it needs them, so that
// most requests take theirs without a lock and without writing to memory that other threads write.
// The thread fills and spends it; the limiter, which holds the bucket's lock, takes back what is
// left whenever the bucket runs out: no token is lost, none is spent twice, and none lies here
// while another thread is refused.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace raymesh::gateway {

class alignas(64) RatePurse {
 public:
  using Clock = std::chrono::steady_clock;

  /// One token of that bucket. On the purse's thread.
  bool take(uint64_t bucket, Clock::time_point now) {
    if (bucket_ != bucket || now >= until_) return false;
    int64_t left = tokens_.load(std::memory_order_relaxed);
    while (left > 0)
      if (tokens_.compare_exchange_weak(left, left - 1, std::memory_order_relaxed)) return true;
    return false;
  }
  /// On the purse's thread, under the bucket's lock, when it is empty.
  void fill(uint64_t bucket, int64_t tokens, Clock::time_point until) {
    bucket_ = bucket;
    until_ = until;
    tokens_.store(tokens, std::memory_order_relaxed);
  }
  /// Takes back what is left. Under the bucket's lock, on any thread.
  double empty() {
    if (held() == 0) return 0;
    return static_cast<double>(tokens_.exchange(0, std::memory_order_relaxed));
  }
  /// What may be left: less the next moment, if the thread spends it.
  double held() const { return static_cast<double>(tokens_.load(std::memory_order_relaxed)); }

 private:
  std::atomic<int64_t> tokens_{0};
  // Used by the purse's thread alone.
  uint64_t bucket_ = 0;
  Clock::time_point until_{};
};

/// What a thread remembers of a bucket that it has spent from. The thread's own.
struct RateDraw {
  RatePurse* purse = nullptr;  // lives as long as the limiter
  uint64_t bucket = 0;

  bool take(RatePurse::Clock::time_point now) const { return purse && purse->take(bucket, now); }
};

}  // namespace raymesh::gateway
