#include "libs/actor/blocking_pool.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <vector>

#include "libs/actor/messages.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::actor {
namespace {

/// To a worker that was idle: look at the queue.
struct TakeWork {};

}  // namespace
}  // namespace raymesh::actor

RAYMESH_ACTOR_MESSAGE(raymesh::actor::TakeWork)

namespace raymesh::actor {

struct BlockingPool::Shared {
  std::string name;
  size_t max_queued = 0;

  mutable std::mutex mutex;
  std::condition_variable quiet;  // the queue is empty and nobody runs
  std::deque<Work> queue;
  std::vector<caf::actor> workers;
  std::vector<size_t> idle;  // indices into workers; Invariant: not empty only if queue is empty
  size_t busy = 0;           // workers that were woken and have not found the queue empty since
  size_t accepted = 0;       // closures waiting or running
  bool stopping = false;

  // In worker `index`, until the queue is empty.
  void drain(size_t index) {
    std::unique_lock lock(mutex);
    while (!queue.empty()) {
      Work work = std::move(queue.front());
      queue.pop_front();
      lock.unlock();
      run(work);
      work.reset();  // what it holds goes before the pool counts as quiet
      lock.lock();
      --accepted;
    }
    idle.push_back(index);
    if (--busy == 0) quiet.notify_all();
  }

  void run(Work& work) const {
    try {
      work();
    } catch (const std::exception& e) {
      log::error("blocking work threw", {{"pool", name}, {"what", e.what()}});
    } catch (...) {
      log::error("blocking work threw", {{"pool", name}});
    }
  }
};

BlockingPool::BlockingPool(caf::actor_system& system, std::string name, size_t threads,
                           size_t max_queued)
    : shared_(std::make_shared<Shared>()) {
  shared_->name = std::move(name);
  shared_->max_queued = max_queued;
  std::lock_guard lock(shared_->mutex);
  for (size_t i = 0; i < threads; ++i) {
    shared_->workers.push_back(system.spawn<caf::detached>(
        [shared = shared_, i](caf::event_based_actor*) -> caf::behavior {
          return {[shared, i](const TakeWork&) { shared->drain(i); }};
        }));
    shared_->idle.push_back(i);
  }
}

BlockingPool::~BlockingPool() {
  stop(std::chrono::milliseconds(0));
  std::unique_lock lock(shared_->mutex);
  shared_->quiet.wait(lock, [this] { return shared_->busy == 0; });
  // The workers hold Shared, which holds them: this ends the circle.
  for (const caf::actor& worker : shared_->workers)
    caf::anon_send_exit(worker, caf::exit_reason::user_shutdown);
  shared_->workers.clear();
}

Status BlockingPool::submit(Work work) {
  caf::actor wake;
  {
    std::lock_guard lock(shared_->mutex);
    if (shared_->stopping)
      return Error(errors::kUnavailable, "the pool \"" + shared_->name + "\" is stopping");
    if (shared_->accepted >= shared_->workers.size() + shared_->max_queued) {
      return Error(errors::kOverloaded, "the pool \"" + shared_->name + "\" has " +
                                            std::to_string(shared_->queue.size()) +
                                            " tasks waiting; try again");
    }
    shared_->queue.push_back(std::move(work));
    ++shared_->accepted;
    if (!shared_->idle.empty()) {
      wake = shared_->workers[shared_->idle.back()];
      shared_->idle.pop_back();
      ++shared_->busy;
    }
  }
  if (wake) caf::anon_send(wake, TakeWork{});
  return ok_status();
}

void BlockingPool::stop(std::chrono::milliseconds grace) {
  std::deque<Work> dropped;  // destroyed without the lock
  std::unique_lock lock(shared_->mutex);
  shared_->stopping = true;
  shared_->quiet.wait_for(lock, grace, [this] { return shared_->busy == 0; });
  std::swap(dropped, shared_->queue);
  shared_->accepted -= dropped.size();
  lock.unlock();
  if (!dropped.empty()) {
    log::warn("blocking work dropped at stop",
              {{"pool", shared_->name}, {"tasks", dropped.size()}});
  }
}

size_t BlockingPool::queued() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->queue.size();
}

size_t BlockingPool::running() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->accepted - shared_->queue.size();
}

}  // namespace raymesh::actor
