// What clients of raymesh.realtime.v1 send, in both forms: any bytes must be read or refused, never
// more commands than a frame may have, and what a command carries on (payloads, data) must be the
// JSON that it says it is. What was read from JSON survives the way through Protobuf.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "libs/base/encoding.hpp"
#include "services/realtime/client_command.hpp"
#include "services/realtime/client_message.hpp"

namespace {

using namespace raymesh::realtime;

void require(bool condition) {
  if (!condition) std::abort();
}

// And nothing around it.
bool is_json_value(std::string_view text) {
  const auto value = ClientMessageParser::json_value(text);
  return value && value->size() == text.size();
}

void check(const std::vector<ParsedCommand>& commands, bool is_json) {
  require(commands.size() <= kMaxCommands);
  v1::ClientFrame frame;
  for (const ParsedCommand& p : commands) {
    if (!p.problem.empty()) continue;
    const v1::Command& c = p.command;
    require(c.command_case() != v1::Command::COMMAND_NOT_SET);
    if (c.has_publish()) require(is_json_value(c.publish().payload_json()));
    if (c.has_subscribe() && !c.subscribe().data_json().empty())
      require(is_json_value(c.subscribe().data_json()));
    *frame.add_commands() = c;
  }
  if (!is_json) return;
  const auto again = parse_proto_commands(frame.SerializeAsString());
  require(again.ok() && again->size() == static_cast<size_t>(frame.commands_size()));
  for (const ParsedCommand& p : *again) require(p.problem.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  if (auto commands = parse_json_commands(bytes); commands.ok()) check(*commands, true);
  if (auto commands = parse_proto_commands(bytes); commands.ok()) check(*commands, false);
  return 0;
}
