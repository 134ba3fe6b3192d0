// Token buckets that hold for the whole cluster: a process leases blocks of tokens from the cache
// service and spends them by itself, asking for the next block before the last token is gone. A
// bucket without tokens admits a few requests on credit, which the next lease pays back; beyond
// that a request waits for the lease that is under way, because only the cluster can say no. While
// leases fail, each process keeps to the bucket's limits by itself. Pure (the caller carries wishes
// to the cache service and brings the answers); thread-safe, with a lock per shard; bounded: the
// bucket used longest ago is forgotten.
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

  /// `max_buckets` over all shards.
  explicit RateLimiter(size_t max_buckets);

  struct Verdict {
    enum class State { kAdmitted, kRefused, kWait } state = State::kAdmitted;
    std::chrono::milliseconds retry_after{0};  // of kRefused; at least 1 ms
    std::optional<LeaseWish> wish;             // carry it out in any case
  };
  /// Takes one token of `bucket`.
  Verdict spend(const std::string& bucket, const BucketLimits& limits, Clock::time_point now);
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
  struct Bucket {
    BucketLimits limits;
    double tokens = 0;            // below zero: spent on credit
    Clock::time_point expires{};  // of the leased tokens
    Clock::time_point retry{};    // the cluster has no more until then
    bool leasing = false;
    double asked = 0;                 // in the last lease
    Clock::time_point local_until{};  // until then refilled here, without leases
    Clock::time_point refilled{};
    double spent = 0;  // since `measured`, for the size of the next block
    Clock::time_point measured{};
    double demand = -1;  // tokens per second, smoothed; below zero: not measured yet
    Waiters waiters;
  };
  struct Shard {
    explicit Shard(size_t capacity) : buckets(capacity) {}
    std::mutex mutex;
    LruCache<std::string, Bucket> buckets;
  };

  Shard& shard_of(const std::string& bucket);
  static double credit(const BucketLimits& limits);
  static double block(const Bucket& b);
  static constexpr size_t kMaxWaiters = 4'096;  // of one bucket

  static constexpr size_t kShards = 16;
  std::array<std::unique_ptr<Shard>, kShards> shards_;
};

}  // namespace raymesh::gateway
