// /api/v1/realtime: connection tokens, publishing, presence, history and revoking. The WebSocket
// itself ends at a realtime node.
#include <charconv>

#include "libs/base/encoding.hpp"
#include "libs/base/json_writer.hpp"
#include "raymesh/realtime/v1/realtime.pb.h"
#include "services/gateway/core.hpp"
#include "services/gateway/edge_rules.hpp"
#include "services/gateway/exchange.hpp"
#include "services/gateway/request_body.hpp"
#include "services/gateway/routes.hpp"
#include "services/gateway/user_token.hpp"

namespace raymesh::gateway {
namespace {

constexpr uint64_t kMaxPage = 10'000;

void on_minted(Exchange& ex, Result<std::string> result) {
  realtime::v1::MintReply reply;
  if (!ex.take(result, reply)) return;
  std::string out;
  json::Object o(out);
  o.string("token", reply.token());
  o.string("url", reply.url());
  o.end();
  ex.reply(200, out);
}

// `note` is the serialized MintRequest.
void send_mint(Exchange& ex) {
  ex.call(*ex.core().peers.realtime, "Mint", std::move(ex.note), ex.options(rpc::Repeat::kSafe),
          on_minted);
}

// One of `grants`: {"channel": "room:*", "allow": ["subscribe", ...]}.
bool read_grant(JsonValue value, realtime::v1::ChannelGrant& out) {
  if (!value.is(JsonKind::kObject)) return false;
  Member members[] = {{"channel"}, {"allow"}};
  if (!read_members(value.raw(), members).ok() || !members[1].is(JsonKind::kArray)) return false;
  auto channel = text_of(members[0]);
  if (!channel) return false;
  out.set_channel(std::move(*channel));
  for (JsonMembers reader(*members[1].value); reader.next();) {
    auto permission = text_of(reader.value());
    if (!permission) return false;
    out.add_allow(std::move(*permission));
  }
  return true;
}

void mint(Exchange& ex) {
  Member members[] = {{"channels"}, {"identity"}, {"ttl"}, {"grants"}};
  if (auto read = read_members(ex.body(), members); !read.ok()) return ex.fail(read.error());
  const Error bad_channels(errors::kInvalidRequest, "channels must be an array of strings");
  const bool has_grants = !members[3].is_missing_or_null();
  if (!members[0].is(JsonKind::kArray) && !(has_grants && members[0].is_missing_or_null()))
    return ex.fail(bad_channels);
  realtime::v1::MintRequest request;
  if (members[0].value)
    for (JsonMembers reader(*members[0].value); reader.next();) {
      auto channel = text_of(reader.value());
      if (!channel) return ex.fail(bad_channels);
      request.add_channels(std::move(*channel));
    }
  if (has_grants) {
    const Error bad_grants(errors::kInvalidRequest,
                           "grants must be an array of {\"channel\":<text>,\"allow\":[<text>]}");
    if (!members[3].is(JsonKind::kArray)) return ex.fail(bad_grants);
    for (JsonMembers reader(*members[3].value); reader.next();)
      if (!read_grant(reader.value(), *request.add_grants())) return ex.fail(bad_grants);
  }
  if (!members[1].is_missing_or_null()) {
    auto identity = text_of(members[1]);
    if (!identity) return ex.fail(Error(errors::kInvalidRequest, "identity must be a string"));
    request.set_identity(std::move(*identity));
  }
  if (!members[2].is_missing_or_null()) {
    const auto ttl = number_of(members[2]);
    if (!ttl || *ttl <= 0)
      return ex.fail(Error(errors::kInvalidRequest, "ttl must be a number of seconds above 0"));
    request.set_ttl_seconds(whole_seconds(*ttl));
  }

  ex.note = request.SerializeAsString();
  with_user(ex, send_mint);
}

void publish(Exchange& ex) {
  Member members[] = {{"channel"}, {"payload"}};
  if (auto read = read_members(ex.body(), members); !read.ok()) return ex.fail(read.error());
  auto channel = text_of(members[0]);
  if (!channel || channel->empty())
    return ex.fail(Error(errors::kInvalidRequest, "channel is required"));
  const std::string_view payload =
      members[1].value ? members[1].value->raw() : std::string_view("null");
  realtime::v1::PublishRequest request;
  const auto options = ex.channel_options(*channel, rpc::Repeat::kNever);
  request.set_channel(std::move(*channel));
  request.set_payload_json(payload.data(), payload.size());
  ex.call(*ex.core().peers.realtime, "Publish", request.SerializeAsString(), options,
          [](Exchange& e, Result<std::string> result) {
            realtime::v1::PublishReply reply;
            if (!e.take(result, reply)) return;
            std::string out;
            json::Object o(out);
            json::append_uint(o.key("delivered"), reply.delivered());
            o.end();
            e.reply(200, out);
          });
}

// The channel in the path, between /channels/ and what follows it.
bool read_channel(Exchange& ex, std::string& out) {
  auto channel = percent_decode(ex.rest());
  if (!channel || channel->empty() || ex.rest().find('/') != std::string_view::npos) {
    ex.fail(Error(errors::kInvalidChannel, "the channel's name is missing or not encoded"));
    return false;
  }
  out = std::move(*channel);
  return true;
}

// A whole number in the query; 0 when it is not there.
bool read_number(Exchange& ex, std::string_view name, uint64_t min, uint64_t max, uint64_t& out) {
  const std::string_view text = query_value(ex.query(), name);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  if (text.empty() || (is_number && out >= min && out <= max)) return true;
  ex.fail(Error(errors::kInvalidRequest, std::string(name) + " is '" +
                                             std::string(text.substr(0, 40)) +
                                             "'; it must be a whole number from " +
                                             std::to_string(min) + " to " + std::to_string(max)));
  return false;
}

void presence(Exchange& ex) {
  std::string channel;
  uint64_t limit = 0;
  if (!read_channel(ex, channel) || !read_number(ex, "limit", 1, kMaxPage, limit)) return;
  realtime::v1::PresenceRequest request;
  const auto options = ex.channel_options(channel, rpc::Repeat::kSafe);
  request.set_channel(std::move(channel));
  request.set_limit(static_cast<uint32_t>(limit));
  request.set_cursor(percent_decode(query_value(ex.query(), "cursor")).value_or("?"));
  ex.call(*ex.core().peers.realtime, "Presence", request.SerializeAsString(), options,
          [](Exchange& e, Result<std::string> result) {
            realtime::v1::PresenceReply reply;
            if (!e.take(result, reply)) return;
            std::string after = ",\"count\":";
            json::append_uint(after, reply.count());
            after += ",\"identities\":";
            json::append_uint(after, reply.identities());
            after += ",\"next\":";
            json::append_string(after, reply.next());
            after += '}';
            std::string json = std::move(*reply.mutable_json());
            const std::string_view view = json;
            e.note = std::move(after);
            e.reply_around("{\"presence\":", std::move(json), view, e.note);
          });
}

void history(Exchange& ex) {
  std::string channel;
  uint64_t limit = 0;
  uint64_t offset = 0;
  if (!read_channel(ex, channel) || !read_number(ex, "limit", 1, kMaxPage, limit) ||
      !read_number(ex, "offset", 0, uint64_t{1} << 53, offset))
    return;
  realtime::v1::HistoryRequest request;
  const auto options = ex.channel_options(channel, rpc::Repeat::kSafe);
  request.set_channel(std::move(channel));
  request.set_limit(static_cast<uint32_t>(limit));
  request.set_epoch(std::string(query_value(ex.query(), "epoch")));
  request.set_offset(offset);
  ex.call(*ex.core().peers.realtime, "History", request.SerializeAsString(), options,
          [](Exchange& e, Result<std::string> result) {
            realtime::v1::HistoryReply reply;
            if (!e.take(result, reply)) return;
            std::string out;
            json::Object o(out);
            o.string("epoch", reply.epoch());
            json::append_uint(o.key("offset"), reply.offset());
            std::string& list = o.key("messages") += '[';
            for (const auto& message : reply.messages()) {
              if (list.back() != '[') list += ',';
              json::Object m(list);
              json::append_uint(m.key("offset"), message.offset());
              m.raw("payload", message.payload_json());
              m.end();
            }
            list += ']';
            o.end();
            e.reply(200, out);
          });
}

void revoke(Exchange& ex) {
  Member members[] = {{"jti"}, {"identity"}, {"user"}, {"session"}, {"channel"}};
  if (auto read = read_members(ex.body(), members); !read.ok()) return ex.fail(read.error());
  realtime::v1::RevokeRequest request;
  size_t given = 0;
  for (const Member& member : members) {
    if (member.is_missing_or_null()) continue;
    auto value = text_of(member);
    if (!value || value->empty() || ++given > 1)
      return ex.fail(Error(errors::kInvalidRequest,
                           "give one of jti, identity, user, session and channel, as a text"));
    if (member.name == "jti")
      request.set_token_id(std::move(*value));
    else if (member.name == "identity")
      request.set_identity(std::move(*value));
    else if (member.name == "user")
      request.set_user(std::move(*value));
    else if (member.name == "session")
      request.set_session(std::move(*value));
    else
      request.set_channel(std::move(*value));
  }
  if (given == 0)
    return ex.fail(Error(errors::kInvalidRequest,
                         "give one of jti, identity, user, session and channel, as a text"));
  // Repeating it changes nothing.
  ex.call(*ex.core().peers.realtime, "Revoke", request.SerializeAsString(),
          ex.options(rpc::Repeat::kSafe), [](Exchange& e, Result<std::string> result) {
            realtime::v1::RevokeReply reply;
            if (!e.take(result, reply)) return;
            std::string out;
            json::Object o(out);
            json::append_uint(o.key("closed"), reply.closed());
            json::append_uint(o.key("nodes"), reply.nodes());
            json::append_uint(o.key("unreached"), reply.unreached());
            o.end();
            e.reply(200, out);
          });
}

void unknown(Exchange& ex) {
  ex.fail(Error(errors::kUnknownEndpoint, "Unknown realtime endpoint"));
}

}  // namespace

std::span<const Route> realtime_routes() {
  static const Route kRoutes[] = {
      {.name = "realtime_publish",
       .method = "POST",
       .path = "/api/v1/realtime/publish",
       .body = BodyLimit::kDefault,
       .handle = publish},
      {.name = "realtime_token",
       .method = "POST",
       .path = "/api/v1/realtime/token",
       .handle = mint},
      {.name = "realtime_presence",
       .method = "GET",
       .path = "/api/v1/realtime/channels/",
       .open = true,
       .suffix = "/presence",
       .handle = presence},
      {.name = "realtime_history",
       .method = "GET",
       .path = "/api/v1/realtime/channels/",
       .open = true,
       .suffix = "/history",
       .handle = history},
      {.name = "realtime_revoke",
       .method = "POST",
       .path = "/api/v1/realtime/revoke",
       .handle = revoke},
      {.name = "realtime_unknown",
       .method = "*",
       .path = "/api/v1/realtime/",
       .open = true,
       .handle = unknown},
  };
  return kRoutes;
}

}  // namespace raymesh::gateway
