// The cluster's list of Redis primaries: as it is kept in Redis (rm:rt:primaries), with its version
// and the lists before it, and as it is used to find a channel's primary. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/redis/ring.hpp"

namespace raymesh::realtime {

struct RingRecord {
  struct Primary {
    std::string url;    // without user and password
    bool lost = false;  // gone for good: nobody waits for it any more
    bool operator==(const Primary&) const = default;
  };
  using List = std::vector<Primary>;

  /// Of the newest list; 0: that of --state-url, which is kept nowhere.
  uint64_t version = 0;
  std::vector<List> lists;  // newest first; that of version - i is lists[i]; never empty
  bool operator==(const RingRecord&) const = default;
};

/// So many lists are remembered.
inline constexpr size_t kRingsKept = 16;

std::string encode(const RingRecord& record);
std::optional<RingRecord> decode_ring(std::string_view text);

/// Version 0. `urls` are good (RedisBrokerConfig::check).
RingRecord first_ring(const std::vector<std::string>& urls);
/// The record after `before`. `lost`: of the newest list of `before`. Errors: invalid_request.
Result<RingRecord> next_ring(const RingRecord& before, const std::vector<std::string>& urls,
                             const std::vector<std::string>& lost);
/// The url without user and password: names and finds a primary, and can be stored.
Result<std::string> plain_url(const std::string& url);

/// Where each channel is, and since when.
class RingView {
 public:
  explicit RingView(const RingRecord& record);

  uint64_t version() const { return version_; }
  const std::vector<std::string>& urls() const { return rings_.front().urls; }
  /// Index into urls().
  size_t pick(std::string_view key) const { return rings_.front().ring.pick(key); }
  /// The version since which the key has been on its primary without a break, as far as it is
  /// known: what the primary holds of it from before that is not to be believed.
  uint64_t home(std::string_view key) const;

 private:
  struct One {
    std::vector<std::string> urls;
    redis::Ring ring;
  };
  uint64_t version_;
  std::vector<One> rings_;  // newest first
};

}  // namespace raymesh::realtime
