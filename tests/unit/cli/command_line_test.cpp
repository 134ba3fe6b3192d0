#include "apps/raymesh/command_line.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/cli/run_cli.hpp"

namespace raymesh::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

const std::vector<std::vector<std::string>> kCommands = {
    {"migrate"},     {"project", "create"}, {"project", "list"}, {"key", "create"},
    {"key", "list"}, {"key", "revoke"},     {"token", "create"}, {"certs", "dev"},
};

std::vector<std::string> with(std::vector<std::string> command, std::vector<std::string> more) {
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

TEST(CommandLineTest, WithoutArgumentsItShowsTheCommandsAndFails) {
  auto result = run_cli({});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("usage: raymesh <command>"));
}

TEST(CommandLineTest, HelpIsEverywhereAndGoesToStandardOutput) {
  for (const char* flag : {"--help", "-h", "help"}) {
    auto result = run_cli({flag});
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.err, "");
    for (const char* name : {"dev", "migrate", "project", "key", "token", "certs"})
      EXPECT_THAT(result.out, HasSubstr(name));
  }
  for (const char* group : {"project", "key", "token", "certs"}) {
    auto result = run_cli({group, "--help"});
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_THAT(result.out, StartsWith("usage: raymesh " + std::string(group)));
    EXPECT_EQ(run_cli({group}).exit_code, 2);
  }
  for (const auto& command : kCommands) {
    auto result = run_cli(with(command, {"--help"}));
    EXPECT_EQ(result.exit_code, 0) << command.back();
    EXPECT_EQ(result.err, "");
    EXPECT_THAT(result.out, AllOf(StartsWith("raymesh " + command.front()), HasSubstr("--json")));
  }
}

TEST(CommandLineTest, SaysItsVersion) {
  auto result = run_cli({"--version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, StartsWith("raymesh "));
}

TEST(CommandLineTest, NamesTheUnknownCommand) {
  auto result = run_cli({"frobnicate"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err, "raymesh: unknown command: frobnicate\nTry: raymesh --help\n");
  result = run_cli({"key", "burn"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err, "raymesh: unknown command: key burn\nTry: raymesh key --help\n");
}

TEST(CommandLineTest, UnknownOptionsAreMistakes) {
  for (const auto& command : kCommands) {
    auto result = run_cli(with(command, {"--bogus", "1"}));
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, HasSubstr("--bogus"));
  }
}

TEST(CommandLineTest, CountsArguments) {
  EXPECT_THAT(run_cli({"project", "create"}).err, HasSubstr("an argument is missing"));
  EXPECT_THAT(run_cli({"project", "create", "a", "b"}).err, HasSubstr("unexpected argument: b"));
  EXPECT_THAT(run_cli({"key", "list", "x"}).err, HasSubstr("unexpected argument: x"));
  EXPECT_EQ(run_cli({"key", "list", "x"}).exit_code, 2);
}

TEST(CommandLineTest, BadValuesAreNamed) {
  auto result = run_cli({"key", "create", "--project", "p", "--burst", "many"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("burst"), HasSubstr("many")));
}

TEST(CommandLineTest, WithJsonErrorsAreJsonToo) {
  auto result = run_cli({"key", "create", "--json"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "{\"error\":\"--project is missing\",\"code\":\"invalid_request\"}\n");
}

TEST(CommandLineTest, SaysHowToNameADatabase) {
  auto result = run_cli({"project", "list", "--data-dir", "/nonexistent"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, AllOf(HasSubstr("--postgres-url"), HasSubstr("/nonexistent")));
}

TEST(CommandLineTest, AServerThatIsAwayIsAFailureNotAMistake) {
  auto result = run_cli({"project", "list"}, {{"RAYMESH_POSTGRES_URL", "host=/nonexistent"}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("cannot connect to PostgreSQL"));
}

TEST(CommandLineTest, IgnoresVariablesOfOtherPrograms) {
  auto result = run_cli({"project", "list", "--data-dir", "/nonexistent"},
                        {{"RAYMESH_STORAGE_LISTEN", "x"}, {"RAYMESH_LOG_LEVEL", "y"}});
  EXPECT_THAT(result.err, HasSubstr("no PostgreSQL is given"));
}

TEST(CommandLineTest, MigrateNeedsBothPasswords) {
  auto result = run_cli({"migrate", "--postgres-url", "host=/nonexistent"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("--auth-password or --auth-password-file is missing"));
}

TEST(PrintTableTest, AlignsColumns) {
  std::ostringstream out;
  print_table(out, {{"ID", "NAME"}, {"long-id", ""}, {"x", "y"}});
  EXPECT_EQ(out.str(), "ID       NAME\nlong-id\nx        y\n");
}

}  // namespace
}  // namespace raymesh::cli
