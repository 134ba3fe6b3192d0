#include "libs/telemetry/log_sink.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <ctime>
#include <string>
#include <thread>

namespace raymesh::log {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// A pipe, read only when asked.
class Pipe {
 public:
  Pipe() {
    if (::pipe2(fds_, O_CLOEXEC) != 0) std::abort();
  }
  ~Pipe() {
    ::close(fds_[0]);
    ::close(fds_[1]);
  }
  int write_end() const { return fds_[1]; }

  /// What arrives until `bytes` are there, or two seconds have passed.
  std::string read(size_t bytes) {
    std::string out;
    char buffer[65536];
    pollfd p{fds_[0], POLLIN, 0};
    while (out.size() < bytes && ::poll(&p, 1, 2000) > 0) {
      ssize_t n = ::read(fds_[0], buffer, sizeof buffer);
      if (n <= 0) break;
      out.append(buffer, static_cast<size_t>(n));
    }
    return out;
  }
  bool empty() const {
    pollfd p{fds_[0], POLLIN, 0};
    return ::poll(&p, 1, 0) == 0;
  }

 private:
  int fds_[2];
};

TEST(LogSinkTest, UrgentLinesAreThereWhenAppendReturnsWithAllBeforeThem) {
  Pipe pipe;
  Sink sink(pipe.write_end());
  sink.start_thread();
  sink.append("one\n", false);
  sink.append("two\n", true);
  EXPECT_FALSE(pipe.empty());
  EXPECT_EQ(pipe.read(8), "one\ntwo\n");
}

TEST(LogSinkTest, OtherLinesAreCollectedAndWrittenWithinTheDelay) {
  Pipe pipe;
  Sink sink(pipe.write_end());
  sink.start_thread();
  auto begin = steady_clock::now();
  for (int i = 0; i < 3; ++i) sink.append("line\n", false);
  EXPECT_EQ(pipe.read(15), "line\nline\nline\n");
  auto took = steady_clock::now() - begin;
  EXPECT_GE(took, milliseconds(50)) << "they were not collected";
  EXPECT_LT(took, std::chrono::seconds(10));
}

TEST(LogSinkTest, AFullBufferDoesNotWaitForTheDelay) {
  Pipe pipe;
  Sink sink(pipe.write_end());
  sink.start_thread();
  std::string line(Sink::kWriteAt + 1, 'x');
  sink.append(line, false);
  EXPECT_EQ(pipe.read(line.size()).size(), line.size());
}

TEST(LogSinkTest, ADescriptorThatIsNotReadNeverBlocksTheCallerAndLossesAreReported) {
  Pipe pipe;
  Sink sink(pipe.write_end());
  sink.start_thread();
  std::string line(999, 'x');
  line += '\n';
  auto begin = steady_clock::now();
  for (int i = 0; i < 4000; ++i) sink.append(line, i % 10 == 0);
  EXPECT_LT(steady_clock::now() - begin, std::chrono::seconds(10));
  uint64_t dropped = sink.dropped();
  EXPECT_GT(dropped, 1000u) << "4 MB do not fit in 1 MiB and a pipe";

  size_t kept = (4000 - dropped) * line.size();
  EXPECT_EQ(pipe.read(kept).size(), kept);
  sink.append("after\n", true);
  std::string rest = pipe.read(60);
  EXPECT_THAT(rest, testing::HasSubstr("\"lines\":" + std::to_string(dropped)));
  EXPECT_THAT(rest, testing::EndsWith("after\n"));
}

TEST(LogSinkTest, LinesOfManyThreadsStayWhole) {
  Pipe pipe;
  std::string all;
  {
    Sink sink(pipe.write_end());
    sink.start_thread();
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&sink, t] {
        std::string line(50, static_cast<char>('a' + t));
        line += '\n';
        for (int i = 0; i < 1000; ++i) sink.append(line, i % 100 == 0);
      });
    all = pipe.read(4 * 1000 * 51);
    for (std::thread& t : threads) t.join();
  }
  ASSERT_EQ(all.size(), 4u * 1000 * 51);
  for (size_t i = 0; i < all.size(); i += 51)
    EXPECT_EQ(all.substr(i, 51), std::string(50, all[i]) + "\n");
}

TEST(LogSinkTest, WhatIsCollectedIsWrittenWhenTheSinkEnds) {
  Pipe pipe;
  {
    Sink sink(pipe.write_end());
    sink.start_thread();
    sink.append("last\n", false);
  }
  EXPECT_FALSE(pipe.empty());
  EXPECT_EQ(pipe.read(5), "last\n");
}

TEST(LogSinkTest, AnIdleSinkUsesNoCpu) {
  Pipe pipe;
  Sink sink(pipe.write_end());
  sink.start_thread();
  sink.append("x\n", true);
  pipe.read(2);
  auto switches = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nvcsw;
  };
  // The urgent line may have woken the thread: its delay passes, then nothing may wake.
  ASSERT_TRUE(pipe.empty());
  pollfd nothing{-1, 0, 0};
  ::poll(&nothing, 1, 300);
  long before = switches();
  ::poll(&nothing, 1, 500);
  EXPECT_LE(switches() - before, 2) << "something woke while there was nothing to write";
}

}  // namespace
}  // namespace raymesh::log
