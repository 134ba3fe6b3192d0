#include "libs/net/io_threads.hpp"

#include <pthread.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
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

// Shared with the handlers that wait, which may outlive the watch.
struct Watched {
  Watched(boost::asio::io_context& io, std::weak_ptr<Loop::Listener> l)
      : descriptor(io), listener(std::move(l)) {}
  ~Watched() { descriptor.release(); }  // the descriptor is its owner's

  boost::asio::posix::stream_descriptor descriptor;
  std::weak_ptr<Loop::Listener> listener;
  bool waiting[2] = {false, false};  // by Ready
};

class AsioWatch final : public Loop::Watch {
 public:
  explicit AsioWatch(std::shared_ptr<Watched> watched) : watched_(std::move(watched)) {}
  ~AsioWatch() override {
    watched_->listener.reset();
    watched_->descriptor.release();
  }
  void await(Loop::Ready what) override {
    using boost::asio::posix::descriptor_base;
    const auto index = static_cast<size_t>(what);
    if (std::exchange(watched_->waiting[index], true)) return;
    watched_->descriptor.async_wait(
        what == Loop::Ready::kRead ? descriptor_base::wait_read : descriptor_base::wait_write,
        [watched = watched_, what, index](boost::system::error_code) {
          watched->waiting[index] = false;
          if (const auto listener = watched->listener.lock()) listener->on_ready(what);
        });
  }

 private:
  const std::shared_ptr<Watched> watched_;
};

class AsioTimer final : public Loop::Timer {
 public:
  explicit AsioTimer(boost::asio::io_context& io) : timer_(io) {}
  void set(Loop::Clock::time_point when, Loop::Task task) override {
    timer_.expires_at(when);
    timer_.async_wait([run = std::move(task)](boost::system::error_code ec) mutable {
      if (!ec) run();
    });
  }

 private:
  boost::asio::steady_timer timer_;
};

}  // namespace

struct IoThreads::Worker final : Loop {
  boost::asio::io_context io{1};
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work{
      io.get_executor()};
  std::mutex mutex;
  std::vector<Task> inbox;  // guarded by mutex
  bool scheduled = false;   // guarded by mutex. Invariant: true while a drain() is queued
  bool closed = false;      // guarded by mutex
  std::vector<Task> batch;  // the thread's own; keeps its capacity from drain to drain
  std::thread thread;

  void post(Task task) override {
    {
      std::lock_guard lock(mutex);
      if (closed) return;
      inbox.push_back(std::move(task));
      if (std::exchange(scheduled, true)) return;
    }
    boost::asio::post(io, [this] { drain(); });
  }

  std::unique_ptr<Watch> watch(int fd, std::weak_ptr<Listener> listener) override {
    auto watched = std::make_shared<Watched>(io, std::move(listener));
    boost::system::error_code ec;
    watched->descriptor.assign(fd, ec);
    if (ec) return nullptr;
    return std::make_unique<AsioWatch>(std::move(watched));
  }

  std::unique_ptr<Timer> timer() override { return std::make_unique<AsioTimer>(io); }

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
  workers_[i]->post(std::move(task));
}

Loop& IoThreads::loop(size_t i) {
  return *workers_[i];
}

std::vector<Loop*> IoThreads::loops() {
  std::vector<Loop*> out;
  for (auto& worker : workers_) out.push_back(worker.get());
  return out;
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
