#include "libs/telemetry/log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

namespace raymesh::log {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

/// What `body` writes to standard error in a process of its own, which then ends as it says.
std::string written_by(const std::function<void()>& body, int* status = nullptr) {
  std::string path = testing::TempDir() + "raymesh-log-" + std::to_string(getpid());
  pid_t child = fork();
  if (child == 0) {
    if (!freopen(path.c_str(), "w", stderr)) _exit(99);
    body();
    std::exit(0);
  }
  int ignored;
  waitpid(child, status ? status : &ignored, 0);
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  std::remove(path.c_str());
  return text.str();
}

simdjson::dom::element parse(simdjson::dom::parser& parser, const std::string& line) {
  return parser.parse(line);
}

TEST(LogTest, ALineIsOneJsonObjectWithTheFixedMembersFirst) {
  std::string line = written_by([] {
    init("raymesh-storage", Level::kInfo);
    info("started", {{"port", 5002}, {"ratio", 0.5}, {"tls", false}, {"name", "x"}});
  });
  EXPECT_THAT(line,
              MatchesRegex(R"(\{"ts":"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z","level":"info",)"
                           R"("service":"raymesh-storage","msg":"started","port":5002,"ratio":0.5,)"
                           R"("tls":false,"name":"x"\})"
                           "\n"));
}

TEST(LogTest, HostileTextStaysInsideItsString) {
  std::string hostile = "a\"},\n{\"level\":\"error\\\x01\xff\xc3";
  std::string line = written_by([&] {
    init("s", Level::kInfo);
    info(hostile, {{hostile, hostile}});
  });
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  simdjson::dom::parser parser;
  auto object = parse(parser, line);
  EXPECT_EQ(std::string_view(object["level"]), "info");
  EXPECT_THAT(std::string(std::string_view(object["msg"])), StartsWith("a\"},\n{"));
}

TEST(LogTest, NumbersThatJsonLacksAreNull) {
  std::string line = written_by([] {
    init("s", Level::kInfo);
    info("x", {{"nan", std::numeric_limits<double>::quiet_NaN()}});
  });
  EXPECT_THAT(line, HasSubstr("\"nan\":null"));
}

TEST(LogTest, ContextMembersAreLeftOutWhenEmpty) {
  std::string lines = written_by([] {
    init("s", Level::kInfo);
    info(Context{"shop", "4bf92f3577b34da6a3ce929d0e0e4736", ""}, "served", {{"status", 200}});
  });
  EXPECT_THAT(lines, HasSubstr(R"("msg":"served","project":"shop","trace_id":"4bf92f3577b34da6a3ce)"
                               R"(929d0e0e4736","status":200})"));
}

TEST(LogTest, AServiceFieldReplacesTheProcessesOwn) {
  std::string line = written_by([] {
    init("raymesh", Level::kInfo);
    info("x", {{"a", 1}, {"service", "cache"}});
  });
  EXPECT_THAT(line, HasSubstr(R"("service":"cache","msg":"x","a":1})"));
  EXPECT_EQ(line.find("raymesh"), std::string::npos);
}

TEST(LogTest, LinesBelowTheLevelAreNotWritten) {
  std::string lines = written_by([] {
    init("s", Level::kWarn);
    debug("one");
    info("two");
    warn("three");
    error("four");
  });
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 2);
  EXPECT_THAT(lines, HasSubstr("three"));
  EXPECT_THAT(lines, HasSubstr("four"));
}

TEST(LogTest, CollectedLinesAreWrittenAtExit) {
  EXPECT_THAT(written_by([] {
                init("s", Level::kInfo);
                for (int i = 0; i < 100; ++i) info("line");
                info("last");
              }),
              EndsWith("\"msg\":\"last\"}\n"));
}

TEST(LogTest, CollectedLinesSurviveAFatalSignalAndTheSignalStays) {
  int status = 0;
  std::string lines = written_by(
      [] {
        init("s", Level::kInfo);
        info("before the crash");
        std::abort();
      },
      &status);
  EXPECT_THAT(lines, HasSubstr("before the crash"));
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGABRT);
}

TEST(LogTest, LinesBeforeInitAreWrittenDirectly) {
  EXPECT_THAT(written_by([] {
                info("early");
                _exit(0);
              }),
              HasSubstr("early"));
}

TEST(LogTest, LevelsHaveFourNames) {
  Level level{};
  EXPECT_TRUE(parse_level("warn", level));
  EXPECT_EQ(level, Level::kWarn);
  for (const char* text : {"", "INFO", "warning", "trace"}) EXPECT_FALSE(parse_level(text, level));
}

}  // namespace
}  // namespace raymesh::log
