// Token buckets that hold for the whole cluster, in the store `state`: gateways lease blocks of
// tokens and spend them by themselves. Owned by the app; any thread; completions as in Entries.
#pragma once

#include <chrono>
#include <string>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "libs/redis/store.hpp"

namespace raymesh::cache {

class Probe;

struct LeaseRequest {
  std::string bucket;
  double per_second = 0;  // refill
  double burst = 0;       // capacity
  double want = 0;
};

struct Lease {
  double granted = 0;  // whole tokens, at most what was wanted
  std::chrono::milliseconds retry_after{0};
  std::chrono::milliseconds life{0};  // tokens not spent by then are void
};

class Leases {
 public:
  using Clock = std::chrono::steady_clock;

  /// Short enough that tokens that lie unused in one gateway are not missed for long by another.
  static constexpr std::chrono::milliseconds kLife{1'000};

  Leases(redis::Store& store, Probe& probe) : store_(store), probe_(probe) {}

  /// Errors: invalid_request for numbers that make no bucket; unavailable.
  void lease(const LeaseRequest& request, Clock::time_point deadline,
             UniqueFunction<void(Result<Lease>)> done);

 private:
  redis::Store& store_;
  Probe& probe_;
};

/// Finite, above zero, and not absurd; a name of 1 to 512 bytes.
Status check_lease(const LeaseRequest& request);

}  // namespace raymesh::cache
