#include "bench/tools/fan_receiver.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace raymesh::bench {
namespace {

uint64_t digits(std::string_view text) {
  uint64_t v = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') fail("a message without a marker came");
    v = v * 10 + static_cast<uint64_t>(c - '0');
  }
  return v;
}

}  // namespace

FanReceiver::FanReceiver(const FanConfig& config, FanProgress& progress)
    : config_(config), progress_(progress), epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

FanReceiver::~FanReceiver() {
  close(epoll_);
}

void FanReceiver::watch(int fd, void* subscriber) {
  epoll_event e{};
  e.events = EPOLLIN | EPOLLOUT | EPOLLET;
  e.data.ptr = subscriber;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &e);
  ++handshakes_;
}

void FanReceiver::opened() {
  --handshakes_;
  ++open_;
}

void FanReceiver::lost(int fd, bool was_open) {
  if (was_open) {
    ++closed;
    --open_;
  } else {
    --handshakes_;
  }
  close(fd);
}

void FanReceiver::close_with_reset(int fd) {
  const linger none{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  close(fd);
}

void FanReceiver::delivered(Order& order, std::string_view marker) {
  const uint64_t sequence = digits(marker.substr(1, 10));
  if (sequence < order.next && order.skipped == 0) {
    ++duplicates;
    return;
  }
  if (sequence < order.next) {
    --order.skipped;
    ++reordered;
  } else {
    order.skipped += sequence - order.next;
    order.next = sequence + 1;
  }
  if (measuring_) {
    if (now_ == 0) now_ = now_ns();
    latency.record(now_ - static_cast<int64_t>(digits(marker.substr(12, 19))));
  }
  ++batch_;
}

void FanReceiver::poll(int timeout_ms) {
  epoll_event events[512];
  const int n = epoll_wait(epoll_, events, 512, timeout_ms);
  for (int i = 0; i < n; ++i) {
    now_ = 0;
    on_event(events[i].data.ptr, events[i].events);
    if (batch_ == 0) continue;
    progress_.delivered.fetch_add(batch_, std::memory_order_seq_cst);
    batch_ = 0;
    if (progress_.publisher_waits.load(std::memory_order_seq_cst)) {
      progress_.wake.fetch_add(1, std::memory_order_release);
      progress_.wake.notify_one();
    }
  }
}

size_t FanReceiver::connect_all(double timeout_s) {
  const int64_t until = now_ns() + static_cast<int64_t>(timeout_s * 1e9);
  while (open_ < config_.subscribers && now_ns() < until) {
    while (started_ < config_.subscribers && handshakes_ < config_.handshakes) start(started_++);
    poll(50);
  }
  return open_;
}

void FanReceiver::receive(double seconds, uint64_t until_delivered) {
  const int64_t until = now_ns() + static_cast<int64_t>(seconds * 1e9);
  while (now_ns() < until && progress_.delivered.load(std::memory_order_relaxed) < until_delivered)
    poll(20);
}

void FanReceiver::receive_rest(uint64_t until_delivered, double quiet_s) {
  const auto all = [this] { return progress_.delivered.load(); };
  for (uint64_t before = UINT64_MAX; all() < until_delivered && all() != before;) {
    before = all();
    receive(quiet_s, until_delivered);
  }
}

void FanReceiver::start_measuring() {
  latency.clear();
  measuring_ = true;
}

}  // namespace raymesh::bench
