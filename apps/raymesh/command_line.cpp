#include "apps/raymesh/command_line.hpp"

#include <algorithm>
#include <array>

#include "apps/raymesh/commands.hpp"
#include "libs/base/json_writer.hpp"
#include "libs/base/version.hpp"

namespace raymesh::cli {
namespace {

constexpr std::string_view kSummary =
    "raymesh: a backend cluster of your own\n\n"
    "usage: raymesh <command> [options]\n";

const std::vector<GroupMember>& commands() {
  static const std::vector<GroupMember> kCommands = {
      {"dev", "run the whole cluster in this process, for development",
       [](Invocation& i) { return dev_command(i.input); }},
      {"migrate", "create or upgrade the system schemas", migrate_command},
      {"project", "create and list projects", project_command},
      {"key", "create, list and revoke API keys", key_command},
      {"token", "make service tokens for programs that call the services over gRPC", token_command},
      {"realtime", "show and change the Redis primaries of realtime", realtime_command},
      {"raystream", "make and change the signing keys of raystream", raystream_command},
      {"certs", "make certificates for development", certs_command},
  };
  return kCommands;
}

bool is_help(std::string_view argument) {
  return argument == "--help" || argument == "-h";
}

void print_members(std::ostream& out, const std::vector<GroupMember>& members) {
  size_t width = 0;
  for (const GroupMember& m : members) width = std::max(width, m.name.size());
  for (const GroupMember& m : members)
    out << "  " << m.name << std::string(width - m.name.size() + 2, ' ') << m.summary << '\n';
}

void print_error(std::ostream& err, const Error& error, bool json, std::string_view command) {
  if (json) {
    std::string text;
    json::Object o(text);
    o.string("error", error.message);
    o.string("code", error.code());
    o.end();
    err << text << '\n';
    return;
  }
  err << "raymesh: " << error.message << '\n';
  if (error.is(errors::kInvalidRequest))
    err << "Try: raymesh " << command << (command.empty() ? "" : " ") << "--help\n";
}

// Only the variables of this command's options: the services' own ones are none of its business,
// and an option of another command is no mistake.
std::map<std::string, std::string> environment_of(const config::Options& options,
                                                  const std::map<std::string, std::string>& all) {
  std::map<std::string, std::string> mine;
  for (const config::Option& option : options.all()) {
    const std::string name = config::Options::environment_name(option);
    for (const std::string& variable : {name, name + "_FILE"})
      if (auto it = all.find(variable); it != all.end()) mine.insert(*it);
  }
  return mine;
}

}  // namespace

int run(Invocation invocation) {
  auto& arguments = invocation.input.arguments;
  if (arguments.empty() || is_help(arguments.front()) || arguments.front() == "help") {
    std::ostream& out = arguments.empty() ? invocation.err : invocation.out;
    out << kSummary << "\ncommands:\n";
    print_members(out, commands());
    out << "\n`raymesh <command> --help` says more.\n";
    return arguments.empty() ? kExitUsage : kExitOk;
  }
  if (arguments.front() == "--version") {
    invocation.out << "raymesh " << version() << '\n';
    return kExitOk;
  }
  return run_group(invocation, "", commands());
}

int run_group(Invocation& invocation, std::string_view group,
              const std::vector<GroupMember>& members) {
  auto& arguments = invocation.input.arguments;
  const std::string prefix = group.empty() ? "" : std::string(group) + ' ';
  if (arguments.empty() || is_help(arguments.front())) {
    std::ostream& out = arguments.empty() ? invocation.err : invocation.out;
    out << "usage: raymesh " << prefix << "<command> [options]\n\ncommands:\n";
    print_members(out, members);
    return arguments.empty() ? kExitUsage : kExitOk;
  }
  const std::string name = arguments.front();
  auto it = std::find_if(members.begin(), members.end(),
                         [&](const GroupMember& m) { return m.name == name; });
  if (it == members.end()) {
    print_error(invocation.err, usage_error("unknown command: " + prefix + name), false, group);
    return kExitUsage;
  }
  arguments.erase(arguments.begin());
  return it->run(invocation);
}

Error usage_error(std::string message) {
  return {errors::kInvalidRequest, std::move(message)};
}

int run_command(Invocation& invocation, const Command& command, config::Options& options,
                const Body& body) {
  const auto& arguments = invocation.input.arguments;
  Output output{invocation.out};
  options.section("").boolean("json", &output.json, "print JSON, for scripts");
  if (config::Options::asks(invocation.input) == config::Options::Ask::kHelp) {
    std::string synopsis = "raymesh " + command.name;
    if (!command.arguments.empty()) synopsis += ' ' + command.arguments;
    invocation.out << options.help(synopsis, command.summary);
    return kExitOk;
  }
  const config::Options::Input input{arguments,
                                     environment_of(options, invocation.input.environment)};
  auto fail = [&](const Error& error, int exit_code) {
    print_error(invocation.err, error, output.json, command.name);
    return exit_code;
  };
  auto positionals = options.load(input, {});
  if (!positionals.ok()) return fail(usage_error(positionals.error().message), kExitUsage);
  if (positionals->size() < command.positionals ||
      (positionals->size() > command.positionals && !command.more)) {
    const std::string expected = command.arguments.empty() ? "no arguments" : command.arguments;
    const std::string got = positionals->size() > command.positionals
                                ? "unexpected argument: " + (*positionals)[command.positionals]
                                : "an argument is missing";
    return fail(usage_error(got + " (raymesh " + command.name + " takes " + expected + ")"),
                kExitUsage);
  }
  Status status = body(*positionals, output);
  if (status.ok()) return kExitOk;
  return fail(status.error(),
              status.error().is(errors::kInvalidRequest) ? kExitUsage : kExitFailure);
}

void print_table(std::ostream& out, const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      line.append(widths[i] - row[i].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << '\n';
  }
}

}  // namespace raymesh::cli
