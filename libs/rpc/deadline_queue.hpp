// Deadlines of many calls with one timer: a heap of (time, key). Entries of calls that have ended
// stay until they come up or are swept; the sweep keeps the heap within twice the live calls, so
// that adding costs constant time on average. It knows the timers that its owner has set, so that
// there is never a second one for the same deadline. Pure; its owner's mutex guards it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "libs/rpc/call.hpp"

namespace raymesh::rpc {

class DeadlineQueue {
 public:
  /// `live(key)` tells whether a key still matters; `live_count` how many do.
  template <class Live>
  void add(Clock::time_point at, uint64_t key, size_t live_count, Live&& live) {
    if (heap_.size() > 2 * live_count + 64) {
      std::erase_if(heap_, [&](const Entry& e) { return !live(e.key); });
      std::make_heap(heap_.begin(), heap_.end(), Later{});
    }
    heap_.push_back({at, key});
    std::push_heap(heap_.begin(), heap_.end(), Later{});
  }

  /// Takes one key whose time has come.
  std::optional<uint64_t> pop(Clock::time_point now) {
    if (heap_.empty() || heap_.front().at > now) return std::nullopt;
    std::pop_heap(heap_.begin(), heap_.end(), Later{});
    const uint64_t key = heap_.back().key;
    heap_.pop_back();
    return key;
  }

  /// When the owner has to set a timer: for the first deadline, unless one is set that comes by
  /// then. Each is answered with `timer_came`.
  std::optional<Clock::time_point> timer_to_set() {
    if (heap_.empty()) return std::nullopt;
    const auto at = heap_.front().at;
    if (!timers_.empty() && timers_.back() <= at) return std::nullopt;
    timers_.push_back(at);
    return at;
  }
  void timer_came(Clock::time_point at) { std::erase(timers_, at); }

  size_t size() const { return heap_.size(); }
  void clear() { heap_.clear(); }

 private:
  struct Entry {
    Clock::time_point at;
    uint64_t key;
  };
  struct Later {
    bool operator()(const Entry& a, const Entry& b) const { return a.at > b.at; }
  };
  std::vector<Entry> heap_;
  std::vector<Clock::time_point> timers_;  // that were set and have not come, the first one last
};

}  // namespace raymesh::rpc
