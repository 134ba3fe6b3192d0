// host::run as a process of its own: start, signals, exit codes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "libs/host/app.hpp"

namespace raymesh::host {
namespace {

using testing::AllOf;
using testing::HasSubstr;

enum class Behaviour { kServes, kCannotStart, kThrows, kNeverStops };

class TestApp final : public App {
 public:
  explicit TestApp(Behaviour behaviour) : behaviour_(behaviour) {}
  Status start() override {
    if (behaviour_ == Behaviour::kCannotStart)
      return Error(errors::kUnavailable, "PostgreSQL is not there");
    if (behaviour_ == Behaviour::kThrows) throw std::runtime_error("thrown in start");
    return ok_status();
  }
  std::vector<Check> checks() override { return {}; }
  void stop(std::chrono::milliseconds) override {
    if (behaviour_ == Behaviour::kNeverStops) std::this_thread::sleep_for(std::chrono::hours(1));
  }

 private:
  Behaviour behaviour_;
};

/// A child process in host::run, its standard error in a pipe.
class Process {
 public:
  Process(Behaviour behaviour, std::vector<std::string> arguments) {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(fds[1], STDERR_FILENO);
      ::dup2(fds[1], STDOUT_FILENO);
      std::vector<char*> argv{const_cast<char*>("raymesh-test")};
      for (std::string& a : arguments) argv.push_back(a.data());
      std::exit(run(static_cast<int>(argv.size()), argv.data(),
                    {"raymesh-test", "storage", "a test", 0,
                     [](config::Options& o) { o.text("listen", new std::string, "Address"); },
                     [=](Env&) { return std::make_unique<TestApp>(behaviour); }}));
    }
    ::close(fds[1]);
    out_ = fds[0];
  }
  ~Process() {
    ::kill(pid_, SIGKILL);
    if (!reaped_) ::waitpid(pid_, nullptr, 0);
    ::close(out_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void signal(int number) { ::kill(pid_, number); }
  /// Reads until `text` came; false at the end of the output or after 20 seconds.
  bool wait_for(const std::string& text) {
    pollfd p{out_, POLLIN, 0};
    char buffer[4096];
    while (output_.find(text) == std::string::npos) {
      if (::poll(&p, 1, 20'000) <= 0) return false;
      ssize_t n = ::read(out_, buffer, sizeof buffer);
      if (n <= 0) return false;
      output_.append(buffer, static_cast<size_t>(n));
    }
    return true;
  }
  int exit_code() {
    while (wait_for("\x01 never")) {
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    reaped_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  const std::string& output() const { return output_; }

 private:
  pid_t pid_ = 0;
  int out_ = -1;
  bool reaped_ = false;
  std::string output_;
};

TEST(RunTest, SigtermAndSigintStopCleanly) {
  for (int signal : {SIGTERM, SIGINT}) {
    Process process(Behaviour::kServes, {});
    ASSERT_TRUE(process.wait_for("\"msg\":\"started\"")) << process.output();
    process.signal(signal);
    EXPECT_EQ(process.exit_code(), 0);
    EXPECT_THAT(process.output(), HasSubstr("\"msg\":\"stopped\""));
  }
}

TEST(RunTest, ASecondSignalEndsAtOnce) {
  Process process(Behaviour::kNeverStops, {});
  ASSERT_TRUE(process.wait_for("\"msg\":\"started\""));
  process.signal(SIGTERM);
  ASSERT_TRUE(process.wait_for("\"msg\":\"stopping\""));
  process.signal(SIGINT);
  EXPECT_EQ(process.exit_code(), 128 + SIGINT);
}

TEST(RunTest, BadConfigurationIsExitCode2InPlainText) {
  for (std::vector<std::string> arguments :
       {std::vector<std::string>{"--lisen=x"}, {"--drain=5"}, {"extra"}, {"--config", "/none"}}) {
    Process process(Behaviour::kServes, arguments);
    EXPECT_EQ(process.exit_code(), 2);
    EXPECT_THAT(process.output(), testing::StartsWith("raymesh-test: "));
  }
}

TEST(RunTest, AFailedStartIsExitCode1WithTheReason) {
  Process refused(Behaviour::kCannotStart, {});
  EXPECT_EQ(refused.exit_code(), 1);
  EXPECT_THAT(refused.output(), HasSubstr("cannot start: PostgreSQL is not there"));
  Process thrown(Behaviour::kThrows, {});
  EXPECT_EQ(thrown.exit_code(), 1);
  EXPECT_THAT(thrown.output(), HasSubstr("thrown in start"));
  Process no_port(Behaviour::kServes, {"--ops-listen", "203.0.113.1:1"});
  EXPECT_EQ(no_port.exit_code(), 1);
  EXPECT_THAT(no_port.output(), AllOf(HasSubstr("--ops-listen"), HasSubstr("203.0.113.1:1")));
}

TEST(RunTest, HelpAndVersionGoToStandardOutput) {
  Process help(Behaviour::kServes, {"--help"});
  EXPECT_EQ(help.exit_code(), 0);
  EXPECT_THAT(help.output(), AllOf(HasSubstr("--listen"), HasSubstr("--cluster-key-file")));
  Process version(Behaviour::kServes, {"--version"});
  EXPECT_EQ(version.exit_code(), 0);
  EXPECT_THAT(version.output(), testing::MatchesRegex("raymesh-test [0-9.]+\n"));
}

}  // namespace
}  // namespace raymesh::host
