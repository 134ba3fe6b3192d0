// How often logins may fail. Two buckets of tokens for each attempt, one of the account (project
// and email, whether it exists or not, so that nothing can be told from being refused) and one of
// the client's address (project and address). An attempt takes its tokens before the password is
// checked, so that many at once cannot slip through; a good one gives them back. There is no
// lock-out that an attacker could cause for long: tokens come back one by one. Pure; one owner.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include "libs/base/lru_cache.hpp"

namespace raymesh::auth {

struct ThrottleConfig {
  double account_burst = 10;
  std::chrono::milliseconds account_refill{30'000};  // one token
  double address_burst = 200;
  std::chrono::milliseconds address_refill{500};
  /// How many accounts and addresses are remembered, each; those that failed longest ago are
  /// forgotten first.
  size_t capacity = 65'536;
};

class LoginThrottle {
 public:
  using Clock = std::chrono::steady_clock;

  explicit LoginThrottle(const ThrottleConfig& config)
      : config_(config), accounts_(config.capacity), addresses_(config.capacity) {}

  struct Attempt {
    std::string account;  // empty: not counted
    std::string address;  // empty: not counted
  };

  /// Zero: go on. Otherwise refused, and how long to wait.
  std::chrono::milliseconds begin(const Attempt& attempt, Clock::time_point now);
  /// The attempt proved to be the account's owner's: his earlier mistakes are forgiven.
  void succeeded(const Attempt& attempt);
  /// The attempt was neither good nor bad (a dependency was down): it does not count.
  void cancelled(const Attempt& attempt);

 private:
  struct Bucket {
    double tokens = 0;
    Clock::time_point at;
  };
  using Buckets = LruCache<std::string, Bucket>;

  static Bucket& refilled(Buckets& buckets, const std::string& key, double burst,
                          std::chrono::milliseconds refill, Clock::time_point now);
  static void give_back(Buckets& buckets, const std::string& key);

  const ThrottleConfig config_;
  Buckets accounts_;
  Buckets addresses_;
};

}  // namespace raymesh::auth
