// Threads for work that blocks (password hashing, synchronous libraries, files): a fixed number of
// detached actors that take closures from one bounded queue, the first free one first. Owned by an
// app; submit from any thread. A closure must end by itself in bounded time.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"

namespace caf {
class actor_system;
}

namespace raymesh::actor {

class BlockingPool {
 public:
  using Work = UniqueFunction<void()>;

  /// At most `max_queued` closures wait while all `threads` are busy. `name` is for the log.
  BlockingPool(caf::actor_system& system, std::string name, size_t threads, size_t max_queued);
  /// stop(0), and waits for the closures that are running.
  ~BlockingPool();
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;

  /// overloaded when the queue is full, unavailable after stop. An exception that leaves `work` is
  /// logged and goes no further: whoever waits for an answer must get it from `work` itself.
  Status submit(Work work);

  /// Refuses new work, waits up to `grace` for what was accepted, drops what has not begun by then.
  void stop(std::chrono::milliseconds grace);

  size_t queued() const;
  size_t running() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace raymesh::actor
