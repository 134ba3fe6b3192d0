// Token buckets that hold for the whole cluster: a process leases blocks of tokens from the cache
// service and spends them by itself, asking for the next block before the last token is gone. A
// bucket without tokens admits a few requests on credit, which the next lease pays back; beyond
// that a request waits for the lease that is under way, because only the cluster can say no. While
// leases fail, each process keeps to the bucket's limits by itself. Threads that spend a lot draw
// tokens ahead (rate_purse.hpp) and need no lock for most of them. Pure (the caller carries wishes
// to the cache service and brings the answers); thread-safe, with a lock per shard; bounded: the
// bucket whose lock was taken longest ago is forgotten.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "libs/base/lru_cache.hpp"
#include "libs/base/unique_function.hpp"
#include "services/gateway/rate_purse.hpp"

namespace raymesh::gateway {

struct BucketLimits {
  double per_second = 0;  // refill
  double burst = 0;       // capacity
};

/// A lease to ask for: LeaseTokens with these numbers.
struct LeaseWish {
  std::string bucket;
  BucketLimits limits;
  double want = 0;
};

struct LeaseGrant {
  double granted = 0;
  std::chrono::milliseconds retry_after{0};  // when nothing was granted
  std::chrono::milliseconds life{0};         // of what was granted
};

class RateLimiter {
 public:
  using Clock = std::chrono::steady_clock;

  /// `max_buckets` over all shards; `threads` may draw ahead.
  explicit RateLimiter(size_t max_buckets, size_t threads = 0);

  struct Verdict {
    enum class State { kAdmitted, kRefused, kWait } state = State::kAdmitted;
    std::chrono::milliseconds retry_after{0};  // of kRefused; at least 1 ms
    std::optional<LeaseWish> wish;             // carry it out in any case
  };
  /// Takes one token of `bucket`.
  Verdict spend(const std::string& bucket, const BucketLimits& limits, Clock::time_point now) {
    return spend(bucket, limits, now, threads_, nullptr);
  }
  /// The same on the thread with that number, below `threads`, which may draw more: tokens that
  /// `draw.take` gives are as good as spend()'s. Nobody else uses `draw` or that number meanwhile.
  Verdict spend(const std::string& bucket, const BucketLimits& limits, Clock::time_point now,
                size_t thread, RateDraw& draw) {
    return spend(bucket, limits, now, thread, &draw);
  }
  /// After kWait: `on_answer` runs once when the lease has been answered (any thread, under a lock:
  /// it must only hand over), and the request calls spend() again. False: answered already, or the
  /// bucket is gone; spend again at once.
  bool wait(const std::string& bucket, UniqueFunction<void()> on_answer);
  /// Gives a token back that spend() took for a request that another bucket then refused.
  void refund(const std::string& bucket);

  /// The answers to wishes: exactly one of the two for each.
  void granted(const std::string& bucket, const LeaseGrant& grant, Clock::time_point now);
  void failed(const std::string& bucket, Clock::time_point now);

  size_t buckets() const;

 private:
  // Those who wait for a bucket's lease; woken also when the bucket is forgotten.
  class Waiters {
   public:
    Waiters() = default;
    Waiters(Waiters&&) = default;
    Waiters& operator=(Waiters&&) = default;
    ~Waiters() { wake_all(); }
    size_t size() const { return all_.size(); }
    void add(UniqueFunction<void()> waiter) { all_.push_back(std::move(waiter)); }
    void wake_all();

   private:
    std::vector<UniqueFunction<void()>> all_;
  };
  struct Bucket;
  // The purses of one busy bucket, one for each thread.
  struct Purses {
    Bucket* of = nullptr;
    Clock::time_point drawn{};  // the last time
    std::unique_ptr<RatePurse[]> by_thread;
  };
  struct Bucket {
    uint64_t id = 0;
    BucketLimits limits;
    double tokens = 0;            // below zero: spent on credit
    Clock::time_point expires{};  // of the leased tokens
    Clock::time_point retry{};    // the cluster has no more until then
    bool leasing = false;
    double asked = 0;                 // in the last lease
    Clock::time_point local_until{};  // until then refilled here, without leases
    Clock::time_point refilled{};
    // Since `measured`, for the size of the next block: taken out, and held in purses at the time.
    double spent = 0;
    double held_before = 0;
    Clock::time_point measured{};
    double demand = -1;  // tokens per second, smoothed; below zero: not measured yet
    Waiters waiters;
    Purses* purses = nullptr;  // of its shard
  };
  struct Shard {
    explicit Shard(size_t capacity) : buckets(capacity) {}
    std::mutex mutex;
    LruCache<std::string, Bucket> buckets;
    uint64_t last_id = 0;
    std::vector<std::unique_ptr<Purses>> purses;
    size_t next_purses = 0;  // to look at when a bucket wants some
  };

  Verdict spend(const std::string& bucket, const BucketLimits& limits, Clock::time_point now,
                size_t thread, RateDraw* draw);
  Shard& shard_of(const std::string& bucket);
  // Under the shard's lock.
  Bucket& add(Shard& shard, const std::string& name, Clock::time_point now) const;
  void measure(Bucket& b, Clock::time_point now) const;
  double held(const Bucket& b) const;
  static void take_back(Bucket& b, RatePurse& purse);
  void take_all_back(Bucket& b) const;
  void draw_ahead(Shard& shard, Bucket& b, Clock::time_point now, size_t thread,
                  RateDraw& draw) const;
  bool find_purses(Shard& shard, Bucket& b, Clock::time_point now) const;
  static double credit(const BucketLimits& limits);
  static double block(const Bucket& b);
  static constexpr size_t kMaxWaiters = 4'096;  // of one bucket

  static constexpr size_t kShards = 16;
  // Buckets of a shard that may have purses at a time.
  static constexpr size_t kMaxPurses = 64;

  const size_t threads_;
  std::array<std::unique_ptr<Shard>, kShards> shards_;
};

}  // namespace raymesh::gateway
