// What API keys stand for, remembered for a short time: known keys, and, apart from them so that
// guesses cannot push them out, keys that do not exist. Pure; one per I/O thread, used on it alone.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "libs/base/lru_cache.hpp"

namespace raymesh::gateway {

struct RateLimitSpec {
  double per_second = 0;
  double burst = 0;
};

/// The answer to "whose key is this": shared and never changed.
struct KeyInfo {
  std::string project_id;
  std::string project_name;
  std::string key_id;
  std::string role;
  std::map<std::string, bool, std::less<>> capabilities;
  bool development = false;  // the well-known key: loopback Origin and Host only
  std::optional<RateLimitSpec> rate_limit;

  /// What auth did not name is not allowed.
  bool may(std::string_view capability) const {
    auto it = capabilities.find(capability);
    return it != capabilities.end() && it->second;
  }
};
using KeyInfoPtr = std::shared_ptr<const KeyInfo>;

struct ApiKeyCacheConfig {
  size_t max_known = 10'000;
  size_t max_unknown = 10'000;
  std::chrono::milliseconds known_life{5'000};
  /// Age at which a known key that is in use is asked for again, so that no request waits.
  std::chrono::milliseconds refresh_age{3'000};
  std::chrono::milliseconds unknown_life{2'000};
};

class ApiKeyCache {
 public:
  using Clock = std::chrono::steady_clock;

  explicit ApiKeyCache(ApiKeyCacheConfig config)
      : config_(config), known_(config.max_known), unknown_(config.max_unknown) {}

  struct Found {
    enum class State { kKnown, kUnknown, kMiss } state;
    KeyInfoPtr info;       // of kKnown
    bool refresh = false;  // ask again in the background; told to one caller per refresh_age
  };
  /// `hash` is the key's SHA-256.
  Found find(std::string_view hash, Clock::time_point now) {
    const Recent& recent = recent_of(hash);
    if (now < recent.until && hash == recent.hash) return {Found::State::kKnown, recent.info};
    return look_up(hash, now);
  }
  /// nullptr: there is no such key.
  void put(const std::string& hash, KeyInfoPtr info, Clock::time_point now);

 private:
  struct Known {
    KeyInfoPtr info;
    Clock::time_point expires;
    Clock::time_point refresh;
  };

  // A copy of a known key that was lately found, until it has to be asked for again.
  struct Recent {
    std::string hash;
    KeyInfoPtr info;
    Clock::time_point until = Clock::time_point::min();
  };
  static constexpr size_t kRecent = 64;

  Found look_up(std::string_view hash, Clock::time_point now);
  Recent& recent_of(std::string_view hash) {
    return recent_[hash.empty() ? 0 : static_cast<unsigned char>(hash.front()) % kRecent];
  }

  ApiKeyCacheConfig config_;
  std::array<Recent, kRecent> recent_;
  std::string looked_up_;  // the hash, allocated once
  LruCache<std::string, Known> known_;
  LruCache<std::string, Clock::time_point> unknown_;  // until when
};

}  // namespace raymesh::gateway
