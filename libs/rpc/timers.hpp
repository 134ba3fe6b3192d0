// One thread per process that runs small functions at given times: deadlines of calls and
// reconnects. It sleeps until the earliest one; with none it never wakes. Thread-safe; the
// functions run on the timer thread, must not block, and hold what they need by weak_ptr.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "libs/base/unique_function.hpp"
#include "libs/rpc/call.hpp"

namespace raymesh::rpc {

class Timers {
 public:
  /// The process's own, started at first use.
  static Timers& shared();

  Timers() = default;
  ~Timers();
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  void at(Clock::time_point when, UniqueFunction<void()> run);

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<Clock::time_point, UniqueFunction<void()>> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace raymesh::rpc
