// What was revoked on this node and still matters, because tokens that it concerns may come yet.
// Bounded by time, since an entry goes when every token that it concerns has expired, and by number
// for each project, so that none fills the memory of all nodes. Thread-safe; the lock is held for a
// few lookups per opened connection.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "libs/base/result.hpp"
#include "services/realtime/realtime_token.hpp"
#include "services/realtime/revocation.hpp"

namespace raymesh::realtime {

class RevocationList {
 public:
  /// Entries of one project.
  static constexpr size_t kMostOfProject = 50'000;

  /// Whether a project that asks for one more may have it. Errors: rate_limited.
  Status room_for(const Revocation& revocation, int64_t now);
  /// One that another node took, or this one after room_for().
  void add(const Revocation& revocation, int64_t now);
  bool is_revoked(const Grant& grant) const;
  /// The channel was revoked after the token was issued.
  bool is_channel_revoked(const Grant& grant, std::string_view channel) const;
  size_t size() const;

 private:
  struct Times {
    int64_t issued_by = 0;
    int64_t keep_until = 0;
  };
  using Key = std::pair<Revocation::By, std::string>;  // project, 0, value
  void sweep(int64_t now);
  static Key key(Revocation::By by, std::string_view project, std::string_view value);
  bool concerns(Revocation::By by, const Grant& grant, std::string_view value) const;

  mutable std::mutex mutex_;
  static constexpr size_t kFirstSweep = 256;
  std::map<Key, Times> entries_;                        // guarded by mutex_
  std::unordered_map<std::string, size_t> of_project_;  // entries; guarded by mutex_
  size_t sweep_at_ = kFirstSweep;                       // guarded by mutex_
  int64_t swept_ = 0;                 // when room_for() last did; guarded by mutex_
  std::atomic<bool> is_empty_{true};  // nothing was revoked yet: asked for each command
};

}  // namespace raymesh::realtime
