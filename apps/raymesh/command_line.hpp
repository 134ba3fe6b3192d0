// The command line's frame: which command was asked for, its options, help, and how results and
// errors are shown. One thread. What the commands do is in <name>_command.cpp; they are declared in
// commands.hpp.
#pragma once

#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/config/options.hpp"

namespace raymesh::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;

/// One run of the program.
struct Invocation {
  config::Options::Input input;
  std::ostream& out;  // results
  std::ostream& err;  // everything else
};

/// Runs `raymesh <arguments>` and returns the process's exit code.
int run(Invocation invocation);

/// A mistake in how the program was called: exit code 2 and a hint at --help.
Error usage_error(std::string message);

/// One subcommand with options: declares its own, parses, gives the positional arguments to `body`.
/// Adds --json, and --help, which prints instead of running.
struct Command {
  std::string name;       // "key create"
  std::string arguments;  // of the synopsis: "<id>"
  std::string summary;
  size_t positionals = 0;  // exactly so many
  bool more = false;       // or more
};

/// Where a command writes; `json` says in which form.
struct Output {
  std::ostream& out;
  bool json = false;
};

using Body = std::function<Status(const std::vector<std::string>& positionals, Output& output)>;

int run_command(Invocation& invocation, const Command& command, config::Options& options,
                const Body& body);

/// Picks the command named by the next argument from a group ("key create|list|revoke") and takes
/// that argument away.
using Entry = int (*)(Invocation&);
struct GroupMember {
  std::string_view name;
  std::string_view summary;
  Entry run;
};
int run_group(Invocation& invocation, std::string_view group,
              const std::vector<GroupMember>& members);

/// Rows under a heading, columns aligned by spaces.
void print_table(std::ostream& out, const std::vector<std::vector<std::string>>& rows);

}  // namespace raymesh::cli
