#include "libs/host/process.hpp"

#include <google/protobuf/stubs/logging.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <stdexcept>

#include "libs/telemetry/log.hpp"

namespace raymesh::host {
namespace {

sigset_t shutdown_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

// The signal that came, or 0 when `wake` was written to.
int next_signal(int signals, int wake) {
  pollfd fds[2] = {{signals, POLLIN, 0}, {wake, POLLIN, 0}};
  while (::poll(fds, 2, -1) < 0 && errno == EINTR) {
  }
  if ((fds[1].revents & POLLIN) != 0) return 0;
  signalfd_siginfo info{};
  if (::read(signals, &info, sizeof info) != sizeof info) return SIGTERM;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace

void prepare_process() {
  rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  std::signal(SIGPIPE, SIG_IGN);
  // Else whoever sends malformed text writes lines of plain text to standard error.
  google::protobuf::SetLogHandler(nullptr);
}

ShutdownSignal::ShutdownSignal() {
  sigset_t set = shutdown_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC);
  wake_ = ::eventfd(0, EFD_CLOEXEC);
  if (signals_ < 0 || wake_ < 0) throw std::runtime_error("signalfd or eventfd failed");
}

ShutdownSignal::~ShutdownSignal() {
  request();
  if (watcher_.joinable()) watcher_.join();
  ::close(signals_);
  ::close(wake_);
}

int ShutdownSignal::wait() {
  int signal = next_signal(signals_, wake_);
  uint64_t ignored;
  if (signal == 0 && ::read(wake_, &ignored, sizeof ignored) < 0) return 0;
  if (!watcher_.joinable()) watcher_ = std::thread([this] { exit_on_next_signal(); });
  return signal;
}

bool ShutdownSignal::pending(std::chrono::milliseconds within) const {
  pollfd fds[2] = {{signals_, POLLIN, 0}, {wake_, POLLIN, 0}};
  return ::poll(fds, 2, static_cast<int>(within.count())) > 0;
}

void ShutdownSignal::request() {
  uint64_t one = 1;
  if (::write(wake_, &one, sizeof one) != sizeof one) log::warn("eventfd did not take the wake-up");
}

void ShutdownSignal::exit_on_next_signal() {
  int signal = next_signal(signals_, wake_);
  if (signal == 0) return;
  log::warn("second signal: exit without a clean stop", {{"signal", signal}});
  log::flush();
  ::_exit(128 + signal);
}

void reset_signals_in_child() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < SIGSYS; ++signal)
    if (signal != SIGKILL && signal != SIGSTOP) sigaction(signal, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace raymesh::host
