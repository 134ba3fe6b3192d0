#include "libs/net/io_threads.hpp"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <mutex>
#include <optional>
#include <thread>

namespace raymesh::net {
namespace {

struct Here {
  const IoThreads* threads = nullptr;
  size_t index = 0;
};
thread_local Here t_here;

}  // namespace

struct IoThreads::Worker {
  boost::asio::io_context io{1};
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work{
      io.get_executor()};
  std::mutex mutex;
  std::vector<Task> inbox;  // guarded by mutex
  bool scheduled = false;   // guarded by mutex. Invariant: true while a drain() is queued
  bool closed = false;      // guarded by mutex
  std::vector<Task> batch;  // the thread's own; keeps its capacity from drain to drain
  std::thread thread;

  void drain() {
    {
      std::lock_guard lock(mutex);
      scheduled = false;
      batch.swap(inbox);
    }
    for (Task& task : batch) task();
    batch.clear();
  }
};

IoThreads::IoThreads(size_t count, const std::string& name) {
  for (size_t i = 0; i < std::max<size_t>(count, 1); ++i) {
    auto worker = std::make_unique<Worker>();
    worker->thread = std::thread([this, w = worker.get(), i] {
      t_here = {this, i};
      w->io.run();
    });
    // The kernel keeps 15 characters.
    pthread_setname_np(worker->thread.native_handle(),
                       (name.substr(0, 12) + "-" + std::to_string(i)).substr(0, 15).c_str());
    workers_.push_back(std::move(worker));
  }
}

IoThreads::~IoThreads() {
  stop();
}

boost::asio::io_context& IoThreads::context(size_t i) {
  return workers_[i]->io;
}

std::optional<size_t> IoThreads::here() const {
  if (t_here.threads != this) return std::nullopt;
  return t_here.index;
}

void IoThreads::post(size_t i, Task task) {
  Worker& w = *workers_[i];
  {
    std::lock_guard lock(w.mutex);
    if (w.closed) return;
    w.inbox.push_back(std::move(task));
    if (std::exchange(w.scheduled, true)) return;
  }
  boost::asio::post(w.io, [&w] { w.drain(); });
}

void IoThreads::stop() {
  for (auto& w : workers_) {
    w->work.reset();
    w->io.stop();
  }
  for (auto& w : workers_) {
    if (w->thread.joinable()) w->thread.join();
    std::vector<Task> unrun;
    {
      std::lock_guard lock(w->mutex);
      w->closed = true;
      unrun.swap(w->inbox);
    }
  }
}

}  // namespace raymesh::net
