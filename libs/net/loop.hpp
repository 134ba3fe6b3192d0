// What a connection needs of the thread that it lives on: to hear when its socket is ready and when
// time has passed, and to be called there from elsewhere. IoThreads have one for each thread;
// whoever has an event loop of his own brings another one, so that connections share it. The loop
// belongs to the thread; only post() may be called from any.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "libs/base/unique_function.hpp"

namespace raymesh::net {

class Loop {
 public:
  using Clock = std::chrono::steady_clock;
  using Task = UniqueFunction<void()>;

  enum class Ready : uint8_t { kRead, kWrite };
  class Listener {
   public:
    /// What was awaited has come, or the descriptor is broken. May end the watch.
    virtual void on_ready(Ready what) = 0;

   protected:
    ~Listener() = default;
  };
  /// A descriptor that is watched, until this is destroyed; it stays open and its owner's.
  class Watch {
   public:
    virtual ~Watch() = default;
    /// Calls on_ready once; asking again before that changes nothing.
    virtual void await(Ready what) = 0;
  };

  /// Destroying it calls off what was set.
  class Timer {
   public:
    virtual ~Timer() = default;
    /// Runs the task then, instead of one that was set before. The task may end the timer.
    virtual void set(Clock::time_point when, Task task) = 0;
  };

  virtual ~Loop() = default;
  /// Runs the task soon, in the order of the posts of one caller; destroys it unrun after the loop
  /// has ended.
  virtual void post(Task task) = 0;
  /// nullptr when the process cannot watch more descriptors. A listener that is gone hears nothing.
  virtual std::unique_ptr<Watch> watch(int fd, std::weak_ptr<Listener> listener) = 0;
  virtual std::unique_ptr<Timer> timer() = 0;
};

}  // namespace raymesh::net
