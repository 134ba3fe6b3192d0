#include "libs/telemetry/log_sink.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "libs/base/json_writer.hpp"
#include "libs/base/signal_mask.hpp"

namespace raymesh::log {
namespace {

// A pipe that polls as writable takes this much without blocking (pipe(7), PIPE_BUF); a regular
// file takes everything.
size_t chunk_of(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? Sink::kMaxBuffered : 4096;
}

bool wait_writable(int fd, std::chrono::milliseconds patience) {
  pollfd p{fd, POLLOUT, 0};
  int n;
  do {
    n = ::poll(&p, 1, static_cast<int>(patience.count()));
  } while (n < 0 && errno == EINTR);
  return n > 0 && (p.revents & POLLOUT) != 0;
}

}  // namespace

Sink::Sink(int fd) : fd_(fd), chunk_(chunk_of(fd)) {}

Sink::~Sink() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  flush(std::chrono::seconds(1));
}

void Sink::start_thread() {
  if (thread_.joinable()) return;
  SignalsBlocked for_the_thread;
  thread_ = std::thread([this] { run(); });
}

void Sink::append(std::string_view line, bool urgent) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    if (pending_.size() + line.size() > kMaxBuffered) {
      ++dropped_unreported_;
      dropped_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    if (dropped_unreported_ > 0) note_dropped();
    bool was_empty = pending_.empty();
    bool was_small = pending_.size() < kWriteAt;
    pending_ += line;
    if (urgent) hurry_ = true;
    wake = was_empty || urgent || (was_small && pending_.size() >= kWriteAt);
  }
  if (urgent || !thread_.joinable()) {
    // Another thread that is writing right now will be followed by the background thread.
    std::unique_lock writer(write_mutex_, std::try_to_lock);
    if (writer && write_out(std::chrono::milliseconds(0))) return;
  }
  if (wake) wake_.notify_one();
}

void Sink::flush(std::chrono::milliseconds patience) {
  std::lock_guard writer(write_mutex_);
  write_out(patience);
}

// Called with mutex_ held, when there is room again after lines were lost.
void Sink::note_dropped() {
  pending_ += R"({"level":"warn","msg":"log lines dropped: standard error was not read","lines":)";
  json::append_uint(pending_, dropped_unreported_);
  pending_ += "}\n";
  dropped_unreported_ = 0;
}

// Called with write_mutex_ held. False when the descriptor stopped taking bytes.
bool Sink::write_out(std::chrono::milliseconds patience) {
  for (;;) {
    if (written_ == writing_.size()) {
      writing_.clear();
      written_ = 0;
      std::lock_guard lock(mutex_);
      hurry_ = false;
      if (pending_.empty()) return true;
      std::swap(pending_, writing_);
    }
    if (!wait_writable(fd_, patience)) return false;
    ssize_t n =
        ::write(fd_, writing_.data() + written_, std::min(chunk_, writing_.size() - written_));
    if (n > 0) {
      written_ += static_cast<size_t>(n);
    } else if (n < 0 && errno != EINTR && errno != EAGAIN) {
      written_ = writing_.size();  // The reader is gone: there is nobody left to tell.
    }
  }
}

void Sink::run() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
      wake_.wait_for(lock, kMaxDelay,
                     [this] { return stopping_ || hurry_ || pending_.size() >= kWriteAt; });
      if (stopping_) return;
    }
    bool blocked;
    do {
      {
        std::lock_guard writer(write_mutex_);
        blocked = !write_out(kMaxDelay);
      }
      std::lock_guard lock(mutex_);
      if (stopping_) return;
    } while (blocked);
  }
}

void Sink::write_in_signal_handler() noexcept {
  // The other threads may be in the middle of an append: a torn line is better than none.
  for (const std::string* part : {&writing_, &pending_}) {
    size_t from = part == &writing_ ? std::min(written_, part->size()) : 0;
    while (from < part->size() && wait_writable(fd_, std::chrono::milliseconds(0))) {
      ssize_t n = ::write(fd_, part->data() + from, std::min(chunk_, part->size() - from));
      if (n <= 0) break;
      from += static_cast<size_t>(n);
    }
  }
}

}  // namespace raymesh::log
