#include "services/realtime/event_encoder.hpp"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <cstring>

#include "libs/base/json_writer.hpp"
#include "libs/net/websocket/frame.hpp"
#include "raymesh/realtime/v1/relay.pb.h"

namespace raymesh::realtime {
namespace {

namespace ws = net::websocket;

// Of the payloads in one frame, unless one alone has more: a client parses a frame whole.
constexpr size_t kMaxFramePayloads = 32u << 10;
constexpr size_t kMaxFrameMessages = 256;

/// A JSON text may have line ends between its tokens, and only there, so a space says the same.
void one_line(std::string& out, size_t from) {
  for (size_t i = from; i < out.size(); ++i)
    if (out[i] == '\n' || out[i] == '\r') out[i] = ' ';
}

void wrap(std::string& out, Dialect dialect, std::string_view body, Position id) {
  switch (dialect) {
    case Dialect::kDefault:
    case Dialect::kJson:
      return ws::append_server_frame(out, ws::Opcode::kText, body);
    case Dialect::kProto:
      return ws::append_server_frame(out, ws::Opcode::kBinary, body);
    case Dialect::kLines: {
      const size_t from = out.size();
      out += body;
      one_line(out, from);
      out += '\n';
      return;
    }
    case Dialect::kEvents:
      if (id) (out += "id: " + epoch_text(id.epoch) + ':' + std::to_string(id.offset)) += '\n';
      [[fallthrough]];
    case Dialect::kEventsMany: {
      out += "data: ";
      const size_t from = out.size();
      out += body;
      one_line(out, from);
      out += "\n\n";
      return;
    }
    case Dialect::kRelay:
      return;  // RelayFrames
  }
}

class EventJson {
 public:
  EventJson(std::string& out, std::string_view type, uint64_t id) : object_(out) {
    object_.string("type", type);
    if (id != 0) number("id", id);
  }
  EventJson& text(std::string_view name, std::string_view value) {
    object_.string(name, value);
    return *this;
  }
  EventJson& number(std::string_view name, uint64_t value) {
    json::append_uint(object_.key(name), value);
    return *this;
  }
  EventJson& integer(std::string_view name, int64_t value) {
    object_.integer(name, value);
    return *this;
  }
  EventJson& boolean(std::string_view name, bool value) {
    object_.boolean(name, value);
    return *this;
  }
  EventJson& raw(std::string_view name, std::string_view json) {
    object_.raw(name, json);
    return *this;
  }
  std::string& open(std::string_view name) { return object_.key(name); }
  void end() { object_.end(); }

 private:
  json::Object object_;
};

void append_json(std::string& out, uint64_t id, const v1::Welcome& e) {
  EventJson(out, "welcome", id)
      .text("connection", e.connection())
      .integer("expires_at", e.expires_at())
      .number("ping_interval_ms", e.ping_interval_ms())
      .number("max_message_bytes", e.max_message_bytes())
      .end();
}

void append_json(std::string& out, uint64_t id, const v1::Subscribed& e) {
  EventJson json(out, "subscribed", id);
  json.text("channel", e.channel()).text("epoch", e.epoch()).number("offset", e.offset());
  if (e.has_recovered()) json.boolean("recovered", e.recovered());
  if (e.conflated()) json.boolean("conflated", true);
  if (!e.member().empty()) json.text("member", e.member());
  json.end();
}

void append_json(std::string& out, uint64_t id, const v1::Unsubscribed& e) {
  EventJson json(out, "unsubscribed", id);
  json.text("channel", e.channel());
  if (!e.reason().empty()) json.text("reason", e.reason());
  json.end();
}

void append_json(std::string& out, uint64_t id, const v1::Messages& e) {
  EventJson json(out, e.payloads_json_size() == 1 ? "message" : "messages", id);
  json.text("channel", e.channel()).number("offset", e.offset());
  if (e.payloads_json_size() == 1) {
    json.raw("payload", e.payloads_json(0));
  } else {
    std::string& list = json.open("payloads") += '[';
    for (int i = 0; i < e.payloads_json_size(); ++i) (i ? list += ',' : list) += e.payloads_json(i);
    list += ']';
  }
  json.end();
}

void append_json(std::string& out, uint64_t id, const v1::Gap& e) {
  EventJson json(out, "gap", id);
  json.text("channel", e.channel());
  if (!e.epoch().empty()) json.text("epoch", e.epoch()).number("offset", e.offset());
  if (e.has_lost()) json.number("lost", e.lost());
  json.text("reason", e.reason()).end();
}

void append_json(std::string& out, uint64_t id, const v1::PublishedAt& e) {
  EventJson(out, "published", id)
      .text("channel", e.channel())
      .text("epoch", e.epoch())
      .number("offset", e.offset())
      .number("delivered", e.delivered())
      .end();
}

void append_json(std::string& out, uint64_t id, const v1::Members& e) {
  EventJson(out, "presence", id)
      .text("channel", e.channel())
      .raw("members", e.members_json())
      .number("count", e.count())
      .number("identities", e.identities())
      .text("next", e.next())
      .end();
}

void append_json(std::string& out, uint64_t id, std::string_view type, const v1::MemberChange& e) {
  EventJson(out, type, id).text("channel", e.channel()).raw("member", e.member_json()).end();
}

void append_json(std::string& out, uint64_t id, const v1::HistoryRead& e) {
  EventJson json(out, "history", id);
  json.text("channel", e.channel()).text("epoch", e.epoch()).number("offset", e.offset());
  std::string& list = json.open("messages") += '[';
  for (int i = 0; i < e.messages_size(); ++i) {
    if (i) list += ',';
    json::Object message(list);
    json::append_uint(message.key("offset"), e.messages(i).offset());
    message.raw("payload", e.messages(i).payload_json());
    message.end();
  }
  list += ']';
  json.end();
}

/// Protobuf's wire format, by hand: what ServerFrame{events: [Event{messages: ...}]} serializes to.
class ProtoMessages {
 public:
  /// RelayMessages, but for its feed.
  static void append_relayed(std::string& out, const PublishBatch& batch, size_t begin, size_t end,
                             uint64_t offset) {
    varint(out, v1::RelayMessages::kOffsetFieldNumber << 3 | 0);
    varint(out, offset);
    for (size_t i = begin; i < end; ++i)
      text(out, v1::RelayMessages::kPayloadsJsonFieldNumber, batch.payload(i));
  }
  static void append(std::string& out, std::string_view channel, const PublishBatch& batch,
                     size_t begin, size_t end, uint64_t offset) {
    size_t messages = field_bytes(channel.size()) + 1 + varint_bytes(offset);
    for (size_t i = begin; i < end; ++i) messages += field_bytes(batch.payload(i).size());
    const size_t event = field_bytes(messages);
    header(out, 1, event);     // ServerFrame.events
    header(out, 5, messages);  // Event.messages
    text(out, 1, channel);
    varint(out, 2 << 3 | 0);
    varint(out, offset);
    for (size_t i = begin; i < end; ++i) text(out, 3, batch.payload(i));
  }

 private:
  static size_t varint_bytes(uint64_t value) {
    return google::protobuf::io::CodedOutputStream::VarintSize64(value);
  }
  static size_t field_bytes(size_t content) { return 1 + varint_bytes(content) + content; }
  static void varint(std::string& out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
    out += static_cast<char>(value);
  }
  static void header(std::string& out, uint32_t field, size_t content) {
    varint(out, field << 3 | 2);
    varint(out, content);
  }
  static void text(std::string& out, uint32_t field, std::string_view value) {
    header(out, field, value.size());
    out += value;
  }
};

/// The frames of kRelay: a length, the field of RelayEvent, the fields of its message.
class RelayFrames {
 public:
  static void append(std::string& out, uint32_t event, std::string_view fields) {
    const size_t at = begin(out, event);
    out += fields;
    end(out, at);
  }
  static size_t begin(std::string& out, uint32_t event) {
    const size_t at = out.size();
    out.append(sizeof(uint32_t), '\0');
    out += static_cast<char>(event);
    return at;
  }
  static void end(std::string& out, size_t at) {
    const auto size = static_cast<uint32_t>(out.size() - at - sizeof(uint32_t));
    std::memcpy(out.data() + at, &size, sizeof size);
  }
};

void append_relay_event(std::string& out, const v1::Event& event) {
  switch (event.event_case()) {
    case v1::Event::kJoin:
    case v1::Event::kLeave: {
      const bool joined = event.has_join();
      v1::RelayMember member;
      member.set_member_json(joined ? event.join().member_json() : event.leave().member_json());
      return RelayFrames::append(
          out, joined ? v1::RelayEvent::kJoinFieldNumber : v1::RelayEvent::kLeaveFieldNumber,
          member.SerializeAsString());
    }
    case v1::Event::kGap: {
      v1::RelayGap gap;
      gap.set_epoch(event.gap().epoch());
      gap.set_offset(event.gap().offset());
      return RelayFrames::append(out, v1::RelayEvent::kGapFieldNumber, gap.SerializeAsString());
    }
    default:
      return;  // what is about one connection goes another way
  }
}

void append_body(std::string& out, Dialect dialect, std::string_view channel,
                 const PublishBatch& batch, size_t begin, size_t end, uint64_t offset) {
  if (dialect == Dialect::kProto)
    return ProtoMessages::append(out, channel, batch, begin, end, offset);
  if (dialect == Dialect::kDefault) {
    out += R"({"type":"message","channel":)";
    json::append_string(out, channel);
  } else {
    out +=
        end - begin == 1 ? R"({"type":"message","channel":)" : R"({"type":"messages","channel":)";
    json::append_string(out, channel);
    out += R"(,"offset":)";
    json::append_uint(out, offset);
  }
  if (end - begin == 1) {
    ((out += R"(,"payload":)") += batch.payload(begin)) += '}';
    return;
  }
  out += R"(,"payloads":[)";
  for (size_t i = begin; i < end; ++i) {
    if (i > begin) out += ',';
    out += batch.payload(i);
  }
  out += "]}";
}

}  // namespace

void append_event_json(std::string& out, const v1::Event& e) {
  const uint64_t id = e.id();
  switch (e.event_case()) {
    case v1::Event::kWelcome:
      return append_json(out, id, e.welcome());
    case v1::Event::kSubscribed:
      return append_json(out, id, e.subscribed());
    case v1::Event::kUnsubscribed:
      return append_json(out, id, e.unsubscribed());
    case v1::Event::kMessages:
      return append_json(out, id, e.messages());
    case v1::Event::kGap:
      return append_json(out, id, e.gap());
    case v1::Event::kPublished:
      return append_json(out, id, e.published());
    case v1::Event::kPresence:
      return append_json(out, id, e.presence());
    case v1::Event::kJoin:
      return append_json(out, id, "join", e.join());
    case v1::Event::kLeave:
      return append_json(out, id, "leave", e.leave());
    case v1::Event::kHistory:
      return append_json(out, id, e.history());
    case v1::Event::kExpiring:
      return EventJson(out, "expiring", id).integer("in_ms", e.expiring().in_ms()).end();
    case v1::Event::kRefreshed:
      return EventJson(out, "refreshed", id)
          .integer("expires_at", e.refreshed().expires_at())
          .end();
    case v1::Event::kPong:
      return EventJson(out, "pong", id).end();
    case v1::Event::kReconnect:
      return EventJson(out, "reconnect", id).number("after_ms", e.reconnect().after_ms()).end();
    case v1::Event::kError:
      return EventJson(out, "error", id)
          .text("code", e.error().code())
          .text("error", e.error().error())
          .end();
    case v1::Event::kClosed:
      return EventJson(out, "closed", id)
          .number("code", e.closed().code())
          .text("reason", e.closed().reason())
          .end();
    case v1::Event::EVENT_NOT_SET:
      break;
  }
}

void append_event(std::string& out, Dialect dialect, const v1::Event& event) {
  if (dialect == Dialect::kDefault && !event.has_gap() && !event.has_refreshed()) return;
  if (dialect == Dialect::kRelay) return append_relay_event(out, event);
  std::string body;
  if (dialect == Dialect::kProto) {
    v1::ServerFrame frame;
    *frame.add_events() = event;
    frame.AppendToString(&body);
  } else {
    append_event_json(body, event);
  }
  // What tells a stream where it stands is remembered by its client, too.
  Position id;
  if (event.has_subscribed())
    id = {parse_epoch(event.subscribed().epoch()).value_or(0), event.subscribed().offset()};
  if (event.has_gap() && !event.gap().epoch().empty())
    id = {parse_epoch(event.gap().epoch()).value_or(0), event.gap().offset()};
  wrap(out, dialect, body, id);
}

void append_messages(std::string& out, Dialect dialect, std::string_view channel,
                     const PublishBatch& batch, Position first, bool single) {
  single |= dialect == Dialect::kDefault;
  std::string body;
  for (size_t begin = 0; begin < batch.count();) {
    size_t end = begin + 1;
    size_t bytes = batch.payload(begin).size();
    while (!single && end < batch.count() && end - begin < kMaxFrameMessages &&
           bytes + batch.payload(end).size() <= kMaxFramePayloads)
      bytes += batch.payload(end++).size();
    if (dialect == Dialect::kRelay) {
      const size_t at = RelayFrames::begin(out, v1::RelayEvent::kMessagesFieldNumber);
      ProtoMessages::append_relayed(out, batch, begin, end, first.offset + begin);
      RelayFrames::end(out, at);
      begin = end;
      continue;
    }
    body.clear();
    append_body(body, dialect, channel, batch, begin, end, first.offset + begin);
    wrap(out, dialect, body, {first.epoch, first.offset + end - 1});
    begin = end;
  }
}

RelayFrame RelayFrame::first(std::string_view frames) {
  uint32_t size = 0;
  std::memcpy(&size, frames.data(), sizeof size);
  return {static_cast<unsigned char>(frames[sizeof size]), frames.substr(sizeof size + 1, size - 1),
          sizeof size + size};
}

size_t frame_bytes(Dialect dialect, const char* data, size_t size) {
  if (dialect == Dialect::kRelay) return RelayFrame::first({data, size}).bytes;
  if (!is_stream(dialect)) return ws::server_frame_bytes(data);
  const std::string_view text(data, size);
  const std::string_view end = dialect == Dialect::kLines ? "\n" : "\n\n";
  const size_t at = text.find(end);
  return at == std::string_view::npos ? size : at + end.size();
}

}  // namespace raymesh::realtime
