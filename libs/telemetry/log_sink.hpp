// Where finished log lines go: a bounded buffer and the thread that writes it to a file descriptor.
// Owned by log.cpp, one per process, alive until the process ends. Any thread may append; no call
// waits for the descriptor except flush.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace raymesh::log {

class Sink {
 public:
  static constexpr size_t kMaxBuffered = 1u << 20;
  static constexpr size_t kWriteAt = 64u << 10;
  static constexpr std::chrono::milliseconds kMaxDelay{100};

  explicit Sink(int fd);
  ~Sink();

  /// The background thread; until it runs, every line is written by its caller.
  void start_thread();
  /// `line` ends with a line feed. Urgent lines, and everything before them, are written by the
  /// caller if the descriptor takes them without waiting, else by the thread.
  void append(std::string_view line, bool urgent);
  /// Writes everything, waiting at most `patience` for the descriptor.
  void flush(std::chrono::milliseconds patience);
  /// For a handler of a fatal signal: writes what is there, takes no lock, allocates nothing.
  void write_in_signal_handler() noexcept;

  uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  void run();
  bool write_out(std::chrono::milliseconds patience);
  void note_dropped();

  const int fd_;
  const size_t chunk_;  // what one write may take without blocking, once poll says writable

  std::mutex mutex_;  // guards the four below; held for a copy, never during a write
  std::condition_variable wake_;
  std::string pending_;
  bool hurry_ = false;
  bool stopping_ = false;
  uint64_t dropped_unreported_ = 0;

  std::mutex write_mutex_;  // guards the two below; taken before mutex_
  std::string writing_;
  size_t written_ = 0;

  std::atomic<uint64_t> dropped_{0};
  std::thread thread_;
};

}  // namespace raymesh::log
