// What projects keep in the store `cache`: values, hashes and sets by key. Checks what comes in,
// makes Redis commands of it and reads the replies. Owned by the app; methods may be called from
// any thread and never block; completions run on the Redis I/O thread, or at once for what is
// refused.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/lru_cache.hpp"
#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "libs/redis/store.hpp"

namespace raymesh::cache {

class Probe;

struct EntryLimits {
  size_t max_value_bytes = 1u << 20;
  size_t max_collection_bytes = 8u << 20;  // of a hash or set as a whole
  size_t max_items = 10'000;               // fields or members of one call
  /// Of one project on one primary; 0: none.
  uint64_t quota_bytes = 256u << 20;
};

class Entries {
 public:
  using Clock = std::chrono::steady_clock;
  template <class T>
  using Done = UniqueFunction<void(Result<T>)>;
  /// A project has used most of its quota on this primary, by an estimate that should be checked.
  /// At most once per project, primary and kMeasurePeriod.
  using NearQuota = std::function<void(const std::string& project, size_t primary)>;

  /// Whose entry, and how long anybody waits for the answer.
  struct Target {
    const std::string& project;
    const std::string& key;
    Clock::time_point deadline;
  };
  struct SetOptions {
    uint64_t ttl_seconds = 0;  // 0: none
    bool only_if_absent = false;
  };

  static constexpr std::chrono::seconds kMeasurePeriod{30};

  Entries(redis::Store& store, const EntryLimits& limits, Probe& probe, NearQuota near_quota);

  /// JSON text, or nullopt. Errors: wrong_type for a hash or set.
  void get(const Target& target, Done<std::optional<std::string>> done);
  /// Replaces an entry of any type, and its TTL. False when it was to be absent and is not. Errors:
  /// invalid_json, value_too_large, quota_exceeded, invalid_request (ttl).
  void set(const Target& target, std::string_view json, const SetOptions& options, Done<bool> done);
  /// Of any type; whether it existed.
  void erase(const Target& target, Done<bool> done);
  /// Zero removes the TTL. Whether the entry exists.
  void expire(const Target& target, uint64_t ttl_seconds, Done<bool> done);
  /// How many fields were written, new or not. Errors as set, and wrong_type.
  using Fields = std::vector<std::pair<std::string_view, std::string_view>>;
  void hash_set(const Target& target, const Fields& fields, Done<uint64_t> done);
  /// One JSON object, or nullopt.
  void hash_get_all(const Target& target, Done<std::optional<std::string>> done);
  /// How many members are new, or were removed; what is named twice counts once.
  void set_add(const Target& target, const std::vector<std::string_view>& members,
               Done<uint64_t> done);
  void set_remove(const Target& target, const std::vector<std::string_view>& members,
                  Done<uint64_t> done);
  void set_members(const Target& target, Done<std::optional<std::vector<std::string>>> done);

 private:
  struct Change {
    std::string_view operation;
    size_t incoming;  // bytes
  };
  redis::Command change_head(const Target& target, const Change& change) const;
  void change(const Target& target, redis::Command tail, Done<int64_t> done);
  void read(const Target& target, redis::Command command, redis::Client::Done done);
  void check_usage(const std::string& project, size_t primary, int64_t used);
  void members_changed(const Target& target, std::string_view operation,
                       const std::vector<std::string_view>& members, Done<uint64_t> done);

  redis::Store& store_;
  const EntryLimits limits_;
  Probe& probe_;
  const NearQuota near_quota_;

  std::mutex mutex_;
  LruCache<std::string, Clock::time_point> measured_;  // guarded by mutex_
};

}  // namespace raymesh::cache
