#include "services/realtime/client_message.hpp"

#include "libs/base/json_reader.hpp"

namespace raymesh::realtime {
namespace {

// What browsers write: a string with half a surrogate pair comes as an escape, and goes on as such.
constexpr JsonRules kRules{.max_depth = 512, .lone_surrogates = true};

}  // namespace

bool ClientMessageParser::parse(std::string_view message, Message& out) {
  const auto root = parse_json(message, kRules);
  if (!root || !root->is(JsonKind::kObject)) return false;
  bool is_publish = false;
  out.is_refresh = false;
  JsonValue channel;
  JsonValue token;
  out.payload = "null";
  JsonMembers members(*root);
  while (members.next()) {
    const std::string_view key = members.key(scratch_);
    if (key == "payload") {
      out.payload = members.value().raw();
    } else if (key == "channel") {
      channel = members.value();
    } else if (key == "token") {
      token = members.value();
    } else if (key == "type") {
      const bool is_text = members.value().is(JsonKind::kString);
      const std::string_view type = is_text ? members.value().text(scratch_) : std::string_view();
      is_publish = type == "publish";
      out.is_refresh = type == "refresh";
    }
  }
  if (out.is_refresh) {
    if (!token.is(JsonKind::kString)) return false;
    out.token = token.text(token_);
    return true;
  }
  if (!is_publish || !channel.is(JsonKind::kString)) return false;
  out.channel = channel.text(channel_);
  return true;
}

std::optional<std::string_view> ClientMessageParser::json_value(std::string_view text) {
  const auto value = parse_json(text, kRules);
  if (!value) return std::nullopt;
  return value->raw();
}

}  // namespace raymesh::realtime
