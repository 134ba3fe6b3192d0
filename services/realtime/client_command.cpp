#include "services/realtime/client_command.hpp"

#include <charconv>
#include <optional>
#include <utility>

#include "libs/base/json_reader.hpp"
#include "libs/base/protobuf_fields.hpp"
#include "services/realtime/position.hpp"

namespace raymesh::realtime {
namespace {

constexpr JsonRules kRules{.max_depth = 512, .lone_surrogates = true};
constexpr size_t kMaxData = 1'024;

/// The members that commands have, as they were read; each command takes what it knows. A null is
/// as if it were not there, but for a payload.
struct Members {
  std::optional<JsonValue> type, id, channel, payload, position, presence, data, limit, cursor,
      token;
};

Members read(JsonValue object) {
  Members out;
  const std::pair<std::string_view, std::optional<JsonValue>*> known[] = {
      {"type", &out.type},         {"id", &out.id},
      {"channel", &out.channel},   {"payload", &out.payload},
      {"position", &out.position}, {"presence", &out.presence},
      {"data", &out.data},         {"limit", &out.limit},
      {"cursor", &out.cursor},     {"token", &out.token}};
  std::string scratch;
  for (JsonMembers members(object); members.next();) {
    const std::string_view key = members.key(scratch);
    for (const auto& [name, to] : known) {
      if (key != name) continue;
      *to = members.value();
      if (key != "payload" && members.value().is(JsonKind::kNull)) to->reset();
    }
  }
  return out;
}

bool read_number(JsonValue value, uint64_t max, uint64_t& out) {
  if (!value.is(JsonKind::kNumber)) return false;
  const std::string_view text = value.raw();
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out <= max;
}

bool read_text(JsonValue value, std::string& out) {
  if (!value.is(JsonKind::kString)) return false;
  std::string scratch;
  out = value.text(scratch);
  return true;
}

bool read_place(JsonValue value, v1::Place& out) {
  if (!value.is(JsonKind::kObject)) return false;
  bool has_epoch = false;
  bool has_offset = false;
  std::string scratch;
  for (JsonMembers members(value); members.next();) {
    const std::string_view key = members.key(scratch);
    if (key == "epoch") {
      has_epoch = read_text(members.value(), *out.mutable_epoch());
    } else if (key == "offset") {
      uint64_t offset = 0;
      has_offset = read_number(members.value(), kMaxOffset, offset);
      out.set_offset(offset);
    }
  }
  return has_epoch && has_offset;
}

/// What is wrong; empty when nothing is. Members that a command doesn't have are ignored.
std::string fill(v1::Command& out, const Members& in) {
  if (in.id) {
    uint64_t id = 0;
    if (!read_number(*in.id, kMaxOffset, id) || id == 0)
      return "id must be an integer from 1 to 2^53 - 1";
    out.set_id(id);
  }
  std::string type;
  if (!in.type || !read_text(*in.type, type)) return "type is required: a text";
  if (type == "ping") return out.mutable_ping(), std::string();
  if (type == "refresh") {
    if (!in.token || !read_text(*in.token, *out.mutable_refresh()->mutable_token()))
      return "token is required: a text";
    return {};
  }
  std::string channel;
  auto position = [&in](auto& command) {
    return !in.position || read_place(*in.position, *command.mutable_position());
  };
  uint64_t limit = 0;
  if (in.limit && (!read_number(*in.limit, UINT32_MAX, limit) || limit == 0))
    return "limit must be an integer from 1 on";
  const bool has_channel = in.channel && read_text(*in.channel, channel);
  constexpr const char* kPosition = "position must be {\"epoch\":<text>,\"offset\":<integer>}";
  if (type == "subscribe") {
    v1::Subscribe& c = *out.mutable_subscribe();
    if (!position(c)) return kPosition;
    if (in.presence && !in.presence->is(JsonKind::kBool)) return "presence must be true or false";
    c.set_presence(in.presence && in.presence->is_true());
    if (in.data) c.set_data_json(std::string(in.data->raw()));
    c.set_channel(channel);
  } else if (type == "unsubscribe") {
    out.mutable_unsubscribe()->set_channel(channel);
  } else if (type == "publish") {
    v1::Publish& c = *out.mutable_publish();
    c.set_payload_json(in.payload ? std::string(in.payload->raw()) : "null");
    c.set_channel(channel);
  } else if (type == "presence") {
    v1::ReadMembers& c = *out.mutable_presence();
    c.set_limit(static_cast<uint32_t>(limit));
    if (in.cursor && !read_text(*in.cursor, *c.mutable_cursor())) return "cursor must be a text";
    c.set_channel(channel);
  } else if (type == "history") {
    v1::ReadHistory& c = *out.mutable_history();
    if (!position(c)) return kPosition;
    c.set_limit(static_cast<uint32_t>(limit));
    c.set_channel(channel);
  } else {
    return "there is no command '" + type.substr(0, 40) + "'";
  }
  return has_channel ? std::string() : "channel is required: a text";
}

/// What both forms have to keep.
std::string check(const v1::Command& command) {
  if (command.has_subscribe() && command.subscribe().data_json().size() > kMaxData)
    return "data has more than 1024 bytes";
  return {};
}

}  // namespace

Result<std::vector<ParsedCommand>> parse_json_commands(std::string_view text) {
  const auto root = parse_json(text, kRules);
  if (!root) return Error(errors::kInvalidJson, "the message is not JSON");
  std::vector<JsonValue> values;
  if (root->is(JsonKind::kArray)) {
    for (JsonMembers members(*root); members.next();) {
      if (values.size() == kMaxCommands)
        return Error(errors::kInvalidRequest, "more than 100 commands in one message");
      values.push_back(members.value());
    }
  } else {
    values.push_back(*root);
  }
  std::vector<ParsedCommand> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (!values[i].is(JsonKind::kObject)) {
      out[i].problem = "a command is an object";
      continue;
    }
    out[i].problem = fill(out[i].command, read(values[i]));
    if (out[i].problem.empty()) out[i].problem = check(out[i].command);
  }
  return out;
}

Result<std::vector<ParsedCommand>> parse_proto_commands(std::string_view bytes) {
  // Before they are parsed, and memory is taken for each.
  const auto fields = count_protobuf_fields(bytes, kMaxCommands);
  if (fields && *fields > kMaxCommands)
    return Error(errors::kInvalidRequest, "more than 100 commands in one message");
  v1::ClientFrame frame;
  if (!fields || !frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return Error(errors::kInvalidRequest, "the message is no ClientFrame");
  std::vector<ParsedCommand> out(static_cast<size_t>(frame.commands_size()));
  for (size_t i = 0; i < out.size(); ++i) {
    v1::Command& command = out[i].command = std::move(*frame.mutable_commands(static_cast<int>(i)));
    // Without the space around it, as when it is cut out of JSON.
    auto require_json = [&](std::string_view what, std::string& json) {
      const auto value = parse_json(json, kRules);
      if (!value) {
        out[i].problem = std::string(what) + " is not one JSON value";
      } else if (value->raw().size() < json.size()) {
        json = std::string(value->raw());
      }
    };
    if (command.command_case() == v1::Command::COMMAND_NOT_SET)
      out[i].problem = "the command is none that is known";
    if (command.id() > kMaxOffset) out[i].problem = "id must be an integer from 1 to 2^53 - 1";
    if (command.has_publish()) {
      if (command.publish().payload_json().empty())
        command.mutable_publish()->set_payload_json("null");
      require_json("payload", *command.mutable_publish()->mutable_payload_json());
    }
    if (command.has_subscribe() && !command.subscribe().data_json().empty())
      require_json("data", *command.mutable_subscribe()->mutable_data_json());
    if (out[i].problem.empty()) out[i].problem = check(command);
  }
  return out;
}

}  // namespace raymesh::realtime
