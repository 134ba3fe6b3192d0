// The pieces of a process that host::run and `raymesh dev` share. Used by the main thread.
#pragma once

#include <chrono>
#include <thread>

namespace raymesh::host {

/// At the start of main: raises the limit of open files to what is allowed, and ignores SIGPIPE (a
/// write to a closed socket reports an error instead), and silences Protobuf's own log.
void prepare_process();

/// Waits for SIGTERM and SIGINT. To be made before any other thread, because it blocks the two in
/// the calling thread and all that this one starts. Child processes inherit the mask and the
/// ignored SIGPIPE: call reset_signals_in_child between fork and exec.
class ShutdownSignal {
 public:
  ShutdownSignal();
  ~ShutdownSignal();
  ShutdownSignal(const ShutdownSignal&) = delete;
  ShutdownSignal& operator=(const ShutdownSignal&) = delete;

  /// Returns the signal, or 0 after request(). From then on a further signal ends the process at
  /// once, with the exit code 128 + signal.
  int wait();
  /// Whether wait() would return at once, or within this time.
  bool pending(std::chrono::milliseconds within) const;
  /// Makes wait() return: something that the process cannot go on without has ended. Any thread.
  void request();

 private:
  void exit_on_next_signal();

  int signals_;  // signalfd(2)
  int wake_;     // eventfd(2)
  std::thread watcher_;
};

/// Async-signal-safe.
void reset_signals_in_child();

}  // namespace raymesh::host
