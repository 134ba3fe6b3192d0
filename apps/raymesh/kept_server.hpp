// One private server (PostgreSQL or Redis) of `raymesh dev`: started, watched, started again when
// it ends by itself (and its disk has room), and stopped in the end. Each has a thread of its own
// that sleeps as long as the server runs. Owned by the command's thread, which alone calls start
// and stop.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "apps/raymesh/child_process.hpp"
#include "libs/base/result.hpp"

namespace raymesh::cli {

struct KeptServerSpec {
  std::string name;  // "PostgreSQL"
  ChildSpec child;
  /// Sent one after the other, each when the one before did not help for a third of the grace.
  std::vector<int> stop_signals;
  /// It answers. May block for some milliseconds.
  std::function<bool()> answers;
  std::chrono::milliseconds start_timeout{60'000};
  /// Runs in the server's thread after every start, and with 0 after its end.
  std::function<void(pid_t)> pid_changed;
  /// Asked after it has ended, when given: while its disk is too full for it, it is not started
  /// again, and that does not count as an end.
  std::function<bool()> has_room;
  /// It ended more than kMaxRestarts times within kRestartWindow.
  std::function<void()> given_up;
};

class KeptServer {
 public:
  static constexpr size_t kMaxRestarts = 5;
  static constexpr std::chrono::seconds kRestartWindow{60};
  /// A log that grows beyond is emptied.
  static constexpr off_t kMaxLogBytes = 10 << 20;

  explicit KeptServer(KeptServerSpec spec);
  /// Stops.
  ~KeptServer();
  KeptServer(const KeptServer&) = delete;
  KeptServer& operator=(const KeptServer&) = delete;

  /// Begins; several servers can so start side by side.
  void begin();
  /// Waits until it answers. Error: unavailable, with the last lines of its log.
  Status wait_ready();
  /// Asks it to end, waits up to `grace`, then makes it.
  void stop(std::chrono::milliseconds grace);

 private:
  enum class State { kStarting, kReady, kFailed };
  enum class Life {
    kAnswers,
    kToBeStopped,  // stop() was called
    kEnded,        // by itself; waited for, its pid is no longer ours
  };

  void run();
  bool run_once();
  Life wait_until_it_answers(pid_t pid);
  Life watch(pid_t pid, int pid_fd);
  void end(pid_t pid, int pid_fd);
  bool too_many_restarts();
  bool wait_for_room();
  bool stopping(std::chrono::milliseconds wait);
  void set(State state, std::string why = "");
  void bound_log() const;

  const KeptServerSpec spec_;
  int stop_event_;
  std::chrono::milliseconds grace_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::kStarting;  // guarded by mutex_
  std::string failure_;             // guarded by mutex_
  std::vector<std::chrono::steady_clock::time_point> ends_;
  std::thread thread_;
};

}  // namespace raymesh::cli
