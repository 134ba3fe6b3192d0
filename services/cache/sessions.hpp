// The state of raystream sessions, in the store `state`, as gateways write and read it: opaque, and
// sealed by them. Ownership goes by generation: it is raised by compare-and-swap, and a write of a
// generation that has been passed is refused, so that of two gateways that both think they have a
// session only one writes it (docs/adr/0046-stored-sessions.md). Every record has an end. Owned by
// the app; any thread; completions as in Entries.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "libs/redis/store.hpp"

namespace raymesh::cache {

class Probe;

struct SessionRecord {
  bool found = false;
  uint64_t generation = 0;
  uint64_t version = 0;
  std::string owner;
  std::string state;
  bool confirmed = false;  // this generation
};

struct SessionWrite {
  std::string session_id;
  uint64_t generation = 0;
  uint64_t version = 0;
  bool raise = false;
  std::string owner;
  std::string lost_by;  // with `raise`: the owner who is told; empty: nobody
  std::string state;
  uint64_t ttl_ms = 0;
  bool by_previous = false;  // with `raise`: not when the stored generation is confirmed
};

struct SessionWritten {
  bool stored = false;
  uint64_t generation = 0;  // what is stored now; 0: nothing
};

struct SessionsConfirmed {
  struct One {
    std::string session_id;
    uint64_t generation = 0;
  };
  std::string owner;
  std::vector<One> sessions;
};

struct SessionEnd {
  std::string session_id;
  uint64_t generation = 0;
  std::string owner;
  uint64_t mark_ms = 0;
};

struct LostSessions {
  struct Lost {
    std::string session_id;
    uint64_t generation = 0;
  };
  std::vector<Lost> lost;
  std::vector<std::string> after;  // where to go on, for each primary
  bool more = false;
  bool complete = true;
};

class Sessions {
 public:
  using Clock = std::chrono::steady_clock;
  template <class T>
  using Done = UniqueFunction<void(Result<T>)>;

  static constexpr size_t kMaxState = 1 << 20;
  static constexpr uint64_t kMaxTtlMs = 31ull * 24 * 3'600'000;
  static constexpr uint64_t kMaxGeneration = uint64_t{1} << 48;
  /// So long a gateway's list of lost sessions is kept after the last one.
  static constexpr std::chrono::minutes kLostLife{10};
  /// In one call.
  static constexpr int kMostConfirmed = 1'000;
  /// Of one primary, in one answer.
  static constexpr int kMostLost = 500;

  Sessions(redis::Store& store, Probe& probe) : store_(store), probe_(probe) {}

  // Errors: invalid_request for what is out of bounds; unavailable; outcome_unknown of `end`.
  void get(const std::string& session_id, Clock::time_point deadline, Done<SessionRecord> done);
  /// The same write twice is the same as once, so it is repeated when a connection breaks.
  void put(const SessionWrite& write, Clock::time_point deadline, Done<SessionWritten> done);
  /// How many of them have this owner and generation. Fails when a primary does, and may be
  /// repeated.
  void confirm(const SessionsConfirmed& confirmed, Clock::time_point deadline, Done<uint64_t> done);
  void end(const SessionEnd& end, Clock::time_point deadline, Done<bool> done);
  /// `after`: of the last answer. A primary that does not answer leaves it incomplete, and is asked
  /// from the same place the next time.
  void lost(const std::string& owner, std::vector<std::string> after, Clock::time_point deadline,
            Done<LostSessions> done);

 private:
  redis::Store& store_;
  Probe& probe_;
};

/// 36 characters of a UUID, in lower case.
Status check_session_id(const std::string& id);
Status check_session_write(const SessionWrite& write);

}  // namespace raymesh::cache
