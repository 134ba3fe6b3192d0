#include "services/realtime/shard_loop.hpp"

#include <sys/epoll.h>

#include <algorithm>

namespace raymesh::realtime {
namespace {

uint32_t bit(net::Loop::Ready what) {
  return what == net::Loop::Ready::kRead ? EPOLLIN : EPOLLOUT;
}

}  // namespace

// Level-triggered, and what was awaited stays registered until it comes unasked: a connection that
// awaits its next read after each one needs no system call for it.
class ShardLoop::Watched final : public Watch {
 public:
  Watched(ShardLoop& loop, size_t place, int fd, std::weak_ptr<Listener> listener)
      : loop_(loop), place_(place), fd_(fd), listener_(std::move(listener)) {
    loop_.watched_[place_] = this;
    is_watched_ = control(EPOLL_CTL_ADD);
  }
  ~Watched() override {
    if (ended_) *ended_ = true;
    if (is_watched_) control(EPOLL_CTL_DEL);
    loop_.watched_[place_] = nullptr;
  }
  bool is_watched() const { return is_watched_; }

  void await(Ready what) override {
    awaited_ |= bit(what);
    if (registered_ & bit(what)) return;
    registered_ |= bit(what);
    control(EPOLL_CTL_MOD);
  }

  void on_event(uint32_t events) {
    // A broken descriptor is ready for everything.
    if (events & (EPOLLHUP | EPOLLERR)) events |= EPOLLIN | EPOLLOUT;
    if (events & registered_ & ~awaited_) {
      registered_ = awaited_;
      control(EPOLL_CTL_MOD);
    }
    const uint32_t come = events & awaited_;
    awaited_ &= ~come;
    const auto listener = listener_.lock();
    if (!listener) return;
    // The first may end the watch, and another one may be in its place already.
    bool ended = false;
    ended_ = &ended;
    if (come & EPOLLIN) listener->on_ready(Ready::kRead);
    if ((come & EPOLLOUT) && !ended) listener->on_ready(Ready::kWrite);
    if (!ended) ended_ = nullptr;
  }

 private:
  bool control(int operation) {
    epoll_event event{};
    event.events = registered_;
    event.data.u64 = loop_.first_data_ + place_;
    return ::epoll_ctl(loop_.epoll_fd_, operation, fd_, &event) == 0;
  }

  ShardLoop& loop_;
  const size_t place_;
  const int fd_;
  const std::weak_ptr<Listener> listener_;
  bool is_watched_ = false;
  bool* ended_ = nullptr;  // while on_event runs
  uint32_t awaited_ = 0;
  uint32_t registered_ = 0;
};

class ShardLoop::Alarm final : public Timer {
 public:
  explicit Alarm(ShardLoop& loop) : loop_(loop), at_(loop.alarms_.end()) {}
  ~Alarm() override { call_off(); }

  void set(Clock::time_point when, Task task) override {
    call_off();
    task_ = std::move(task);
    at_ = loop_.alarms_.emplace(when, this);
  }
  /// Its time has come; it may be gone afterwards.
  void run() {
    Task task = std::move(task_);
    call_off();
    task();
  }

 private:
  void call_off() {
    if (at_ != loop_.alarms_.end()) loop_.alarms_.erase(at_);
    at_ = loop_.alarms_.end();
  }

  ShardLoop& loop_;
  std::multimap<Clock::time_point, Alarm*>::iterator at_;
  Task task_;
};

ShardLoop::ShardLoop(int epoll_fd, uint64_t first_data, ShardInbox& inbox)
    : epoll_fd_(epoll_fd), first_data_(first_data), inbox_(inbox) {}

ShardLoop::~ShardLoop() = default;

std::unique_ptr<net::Loop::Watch> ShardLoop::watch(int fd, std::weak_ptr<Listener> listener) {
  const auto free = std::ranges::find(watched_, nullptr);
  const auto place = static_cast<size_t>(free - watched_.begin());
  if (free == watched_.end()) watched_.push_back(nullptr);
  auto watched = std::make_unique<Watched>(*this, place, fd, std::move(listener));
  if (!watched->is_watched()) return nullptr;
  return watched;
}

std::unique_ptr<net::Loop::Timer> ShardLoop::timer() {
  return std::make_unique<Alarm>(*this);
}

void ShardLoop::on_event(uint64_t data, uint32_t events) {
  const uint64_t place = data - first_data_;
  if (place < watched_.size() && watched_[place]) watched_[place]->on_event(events);
}

void ShardLoop::run_timers(Clock::time_point now) {
  while (!alarms_.empty() && alarms_.begin()->first <= now) alarms_.begin()->second->run();
}

std::optional<net::Loop::Clock::time_point> ShardLoop::next_timer() const {
  if (alarms_.empty()) return std::nullopt;
  return alarms_.begin()->first;
}

}  // namespace raymesh::realtime
