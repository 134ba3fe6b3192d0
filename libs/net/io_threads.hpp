// The threads that sockets live on: each runs one io_context, and whatever belongs to a socket is
// touched by its thread alone, so sessions need no locks. Owned by a service's app. post() may be
// called from any thread (completions hand over here); many posts cost one wake-up. An
// inbox is bounded by what its callers have in flight.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libs/base/unique_function.hpp"
#include "libs/net/loop.hpp"

namespace boost::asio {
class io_context;
}

namespace raymesh::net {

class IoThreads {
 public:
  using Task = Loop::Task;

  /// Starts `count` threads (at least one), named `name`-0, `name`-1 and so on.
  IoThreads(size_t count, const std::string& name);
  /// Stops, if stop() was not called.
  ~IoThreads();
  IoThreads(const IoThreads&) = delete;
  IoThreads& operator=(const IoThreads&) = delete;

  size_t size() const { return workers_.size(); }
  boost::asio::io_context& context(size_t i);
  /// The same thread, for those who need no more than this.
  Loop& loop(size_t i);
  std::vector<Loop*> loops();
  /// The index of the thread that asks; nullopt when it is none of these.
  std::optional<size_t> here() const;
  /// Runs `task` on thread `i`, in the order of the posts of one caller. After stop() a task is
  /// destroyed without having run.
  void post(size_t i, Task task);
  /// Ends the threads after the handlers that are running now, and joins them; whatever is still
  /// queued is destroyed unrun. Not from one of the threads.
  void stop();

 private:
  struct Worker;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace raymesh::net
