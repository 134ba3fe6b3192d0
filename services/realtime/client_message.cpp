#include "services/realtime/client_message.hpp"

#include "libs/base/json_reader.hpp"

namespace raymesh::realtime {
namespace {

// What browsers write: a string with half a surrogate pair comes as an escape, and goes on as such.
constexpr JsonRules kRules{.max_depth = 512, .lone_surrogates = true};

}  // namespace

bool ClientMessageParser::parse_publish(std::string_view message, Publish& out) {
  const auto root = parse_json(message, kRules);
  if (!root || !root->is(JsonKind::kObject)) return false;
  bool is_publish = false;
  JsonValue channel;
  out.payload = "null";
  JsonMembers members(*root);
  while (members.next()) {
    const std::string_view key = members.key(scratch_);
    if (key == "payload") {
      out.payload = members.value().raw();
    } else if (key == "channel") {
      channel = members.value();
    } else if (key == "type") {
      is_publish =
          members.value().is(JsonKind::kString) && members.value().text(scratch_) == "publish";
    }
  }
  if (!is_publish || !channel.is(JsonKind::kString)) return false;
  out.channel = channel.text(channel_);
  return true;
}

bool ClientMessageParser::is_json(std::string_view text) {
  return parse_json(text, kRules).has_value();
}

}  // namespace raymesh::realtime
