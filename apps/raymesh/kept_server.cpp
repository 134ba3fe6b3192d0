#include "apps/raymesh/kept_server.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <system_error>

#include "libs/base/signal_mask.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::cli {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr milliseconds kReadyPoll{3};
constexpr milliseconds kLogPeriod{60'000};
constexpr milliseconds kFirstRestartDelay{100};
constexpr milliseconds kRoomPoll{500};

bool has_ended(pid_t pid, int& status) {
  return waitpid(pid, &status, WNOHANG) == pid;
}

std::string describe(int status) {
  if (WIFEXITED(status)) return "exit code " + std::to_string(WEXITSTATUS(status));
  return "signal " + std::to_string(WTERMSIG(status));
}

}  // namespace

KeptServer::KeptServer(KeptServerSpec spec)
    : spec_(std::move(spec)), stop_event_(eventfd(0, EFD_CLOEXEC)) {
  if (stop_event_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

KeptServer::~KeptServer() {
  stop(milliseconds(3000));
  close(stop_event_);
}

void KeptServer::begin() {
  SignalsBlocked blocked;
  thread_ = std::thread([this] { run(); });
}

Status KeptServer::wait_ready() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return state_ != State::kStarting; });
  if (state_ == State::kReady) return ok_status();
  return Error(errors::kUnavailable, failure_);
}

void KeptServer::stop(milliseconds grace) {
  if (!thread_.joinable()) return;
  grace_ = grace;
  const uint64_t one = 1;
  if (write(stop_event_, &one, sizeof one) != sizeof one) log::warn("eventfd refused a write");
  thread_.join();
}

void KeptServer::set(State state, std::string why) {
  std::lock_guard lock(mutex_);
  if (state_ == State::kStarting) failure_ = std::move(why);
  if (state_ == State::kStarting || state == State::kReady) state_ = state;
  changed_.notify_all();
}

// True once stop() was called; waits for that as long as told.
bool KeptServer::stopping(milliseconds wait) {
  pollfd fd{stop_event_, POLLIN, 0};
  return poll(&fd, 1, static_cast<int>(wait.count())) > 0;
}

void KeptServer::run() {
  milliseconds delay = kFirstRestartDelay;
  while (run_once()) {
    if (spec_.has_room && !spec_.has_room()) {
      if (!wait_for_room()) return;
      continue;
    }
    if (too_many_restarts()) {
      log::error("a private server keeps ending", {{"server", spec_.name}});
      if (spec_.given_up) spec_.given_up();
      return;
    }
    if (stopping(delay)) return;
    delay = std::min(2 * delay, milliseconds(2'000));
  }
}

// False when it is to be stopped meanwhile.
bool KeptServer::wait_for_room() {
  log::error("the disk is full: a private server has ended and waits for room",
             {{"server", spec_.name}, {"folder", spec_.child.folder}});
  while (!spec_.has_room())
    if (stopping(kRoomPoll)) return false;
  log::warn("the disk has room again", {{"server", spec_.name}});
  return true;
}

bool KeptServer::too_many_restarts() {
  const auto now = Clock::now();
  ends_.push_back(now);
  std::erase_if(ends_, [&](auto when) { return now - when > kRestartWindow; });
  return ends_.size() > kMaxRestarts;
}

// One life of the server. False when there is to be no other.
bool KeptServer::run_once() {
  auto pid = start_child(spec_.child);
  if (!pid.ok()) {
    set(State::kFailed, spec_.name + ": " + pid.error().message);
    return false;
  }
  if (spec_.pid_changed) spec_.pid_changed(*pid);
  const int pid_fd = static_cast<int>(syscall(SYS_pidfd_open, *pid, 0));
  Life life = wait_until_it_answers(*pid);
  if (life == Life::kAnswers) {
    set(State::kReady);
    life = watch(*pid, pid_fd);
  }
  if (life == Life::kToBeStopped) end(*pid, pid_fd);
  if (pid_fd >= 0) close(pid_fd);
  if (spec_.pid_changed) spec_.pid_changed(0);
  std::lock_guard lock(mutex_);
  return life == Life::kEnded && state_ == State::kReady;
}

KeptServer::Life KeptServer::wait_until_it_answers(pid_t pid) {
  const auto deadline = Clock::now() + spec_.start_timeout;
  while (!spec_.answers()) {
    int status = 0;
    if (has_ended(pid, status)) {
      const std::string why = spec_.name + " ended at once (" + describe(status) + "):\n" +
                              last_lines(spec_.child.log_file, 10);
      log::warn(why);
      set(State::kFailed, why);
      return Life::kEnded;
    }
    if (Clock::now() > deadline) {
      ::kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
      set(State::kFailed,
          spec_.name + " does not answer:\n" + last_lines(spec_.child.log_file, 10));
      return Life::kEnded;
    }
    if (stopping(kReadyPoll)) return Life::kToBeStopped;
  }
  return Life::kAnswers;
}

KeptServer::Life KeptServer::watch(pid_t pid, int pid_fd) {
  // Without pidfd_open (Linux before 5.3) the child is looked at once a second.
  const milliseconds period = pid_fd >= 0 ? kLogPeriod : milliseconds(1'000);
  for (;;) {
    pollfd fds[2] = {{stop_event_, POLLIN, 0}, {pid_fd, POLLIN, 0}};
    poll(fds, pid_fd >= 0 ? 2 : 1, static_cast<int>(period.count()));
    if ((fds[0].revents & POLLIN) != 0) return Life::kToBeStopped;
    int status = 0;
    if (has_ended(pid, status)) {
      log::warn("a private server ended and is started again",
                {{"server", spec_.name},
                 {"end", describe(status)},
                 {"log", last_lines(spec_.child.log_file, 10)}});
      return Life::kEnded;
    }
    bound_log();
  }
}

// The file is open for appending, so what is written next goes to its new end.
void KeptServer::bound_log() const {
  struct stat info {};
  if (stat(spec_.child.log_file.c_str(), &info) == 0 && info.st_size > kMaxLogBytes &&
      truncate(spec_.child.log_file.c_str(), 0) != 0)
    log::warn("cannot empty a log", {{"file", spec_.child.log_file}});
}

void KeptServer::end(pid_t pid, int pid_fd) {
  int status = 0;
  const milliseconds share = grace_ / static_cast<int>(spec_.stop_signals.size());
  for (int signal : spec_.stop_signals) {
    if (has_ended(pid, status)) return;
    ::kill(pid, signal);
    const auto deadline = Clock::now() + share;
    while (Clock::now() < deadline) {
      const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
      pollfd fd{pid_fd, POLLIN, 0};
      poll(&fd, pid_fd >= 0 ? 1 : 0, static_cast<int>(pid_fd >= 0 ? left.count() + 1 : 10));
      if (has_ended(pid, status)) return;
    }
  }
  ::kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
}

}  // namespace raymesh::cli
