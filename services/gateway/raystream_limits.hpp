// How many raystream sessions there may be, how many of them may be strangers, from one address and
// in all, and how often hands are shaken: decided before anything expensive is computed. The rules
// are pure; the lock makes them usable from all I/O threads.
#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>
#include <unordered_map>

#include "libs/base/lru_cache.hpp"
#include "services/gateway/raystream_config.hpp"

namespace raymesh::gateway {

class RaystreamLimits {
 public:
  using Clock = std::chrono::steady_clock;

  RaystreamLimits(const RaystreamConfig& config, Clock::time_point now);

  /// A connection from `address` (address_bucket's form). False: it may not be opened, and nothing
  /// is counted. Otherwise `closed` must follow.
  [[nodiscard]] bool open(const std::string& address);
  /// It is no stranger any more.
  void attached(const std::string& address);
  void closed(const std::string& address, bool was_attached);

  /// Takes a token of the address's bucket and of that of all. False: too many.
  [[nodiscard]] bool handshake(const std::string& address, Clock::time_point now);

  size_t sessions() const;
  size_t unattached() const;

 private:
  struct Bucket {
    double tokens = 0;
    Clock::time_point at{};
    bool take(double rate, double burst, Clock::time_point now);
  };
  void forget_stranger(const std::string& address);

  // Addresses whose rate is remembered; who is pushed out starts anew with a full bucket, which the
  // bucket of all still bounds.
  static constexpr size_t kMaxAddresses = 20'000;

  const RaystreamConfig& config_;
  mutable std::mutex mutex_;
  size_t sessions_ = 0;
  size_t unattached_ = 0;
  // Invariant: the sum of the values is unattached_; none is 0.
  std::unordered_map<std::string, size_t> strangers_;
  LruCache<std::string, Bucket> buckets_{kMaxAddresses};
  Bucket all_;
};

}  // namespace raymesh::gateway
