#include "libs/rpc/timers.hpp"

#include <pthread.h>

#include "libs/crypto/hash.hpp"

namespace raymesh::rpc {

Timers& Timers::shared() {
  // Streams are made and destroyed on this thread, so OpenSSL keeps state for it. Whatever is
  // initialized first is cleaned up last: OpenSSL must outlive the thread at exit.
  static const std::string kInitialized = crypto::sha256({});
  static Timers timers;
  return timers;
}

Timers::~Timers() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Timers::at(Clock::time_point when, UniqueFunction<void()> run) {
  bool earliest = false;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    auto it = queue_.emplace(when, std::move(run));
    earliest = it == queue_.begin();
    if (!thread_.joinable()) {
      thread_ = std::thread([this] {
        pthread_setname_np(pthread_self(), "rpc-timers");
        loop();
      });
    }
  }
  if (earliest) changed_.notify_one();
}

void Timers::loop() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (queue_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const auto when = queue_.begin()->first;
    if (when > Clock::now()) {
      changed_.wait_until(lock, when);
      continue;
    }
    auto run = std::move(queue_.begin()->second);
    queue_.erase(queue_.begin());
    lock.unlock();
    run();
    run.reset();
    lock.lock();
  }
}

}  // namespace raymesh::rpc
