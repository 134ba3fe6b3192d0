// Access tokens that auth has verified a moment ago, by their SHA-256, so that a burst of requests
// of one user asks once. Never used for auth/me, whose answer must be fresh. Pure; one per I/O
// thread.
#pragma once

#include <chrono>
#include <string>

#include "libs/base/lru_cache.hpp"

namespace raymesh::gateway {

struct VerifiedToken {
  std::string project;
  std::string user;
  std::string session;
};

class TokenCache {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kCapacity = 10'000;
  static constexpr std::chrono::seconds kLife{2};

  /// nullptr when it is not there or too old. Valid until the next put.
  const VerifiedToken* find(const std::string& hash, Clock::time_point now) {
    Entry* e = entries_.get(hash);
    return e && now < e->until ? &e->token : nullptr;
  }
  void put(const std::string& hash, VerifiedToken token, Clock::time_point now) {
    entries_.put(hash, {std::move(token), now + kLife});
  }

 private:
  struct Entry {
    VerifiedToken token;
    Clock::time_point until;
  };
  LruCache<std::string, Entry> entries_{kCapacity};
};

}  // namespace raymesh::gateway
