// /api/v1/realtime: connection tokens, publishing and presence. The WebSocket itself ends at a
// realtime node.
#include <functional>

#include "libs/base/encoding.hpp"
#include "libs/base/json_writer.hpp"
#include "libs/crypto/hash.hpp"
#include "raymesh/auth/v1/auth.pb.h"
#include "raymesh/realtime/v1/realtime.pb.h"
#include "services/gateway/core.hpp"
#include "services/gateway/exchange.hpp"
#include "services/gateway/request_body.hpp"
#include "services/gateway/routes.hpp"

namespace raymesh::gateway {
namespace {

// Calls about one channel go to one node, as long as it is up: its order and presence live there.
rpc::CallOptions channel_options(const Exchange& ex, const std::string& channel,
                                 rpc::Repeat repeat) {
  rpc::CallOptions options = ex.options(repeat);
  options.affinity = std::hash<std::string>()(ex.key().project_id + '\n' + channel) | 1;
  return options;
}

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
void mint_for_user(Exchange& ex, const VerifiedToken& token) {
  ex.context.set_user(token.user);
  ex.context.set_session(token.session);
  ex.call(*ex.core().peers.realtime, "Mint", std::move(ex.note), ex.options(rpc::Repeat::kSafe),
          on_minted);
}

// `note` is the token's hash, then the serialized MintRequest.
void on_verified(Exchange& ex, Result<std::string> result) {
  auth::v1::VerifyTokenReply reply;
  if (!ex.take(result, reply)) return;
  if (!reply.valid()) return ex.fail(Error(errors::kInvalidToken, "the access token is not valid"));
  const std::string hash = ex.note.substr(0, crypto::kSha256Bytes);
  ex.note.erase(0, crypto::kSha256Bytes);
  VerifiedToken token{ex.key().project_id, reply.user_id(), reply.session()};
  ex.worker().tokens.put(hash, token, Exchange::Clock::now());
  mint_for_user(ex, token);
}

void mint(Exchange& ex) {
  Member members[] = {{"channels"}, {"identity"}, {"ttl"}};
  if (auto read = read_members(ex.body(), members); !read.ok()) return ex.fail(read.error());
  const Error bad_channels(errors::kInvalidRequest, "channels must be an array of strings");
  if (!members[0].is(JsonKind::kArray)) return ex.fail(bad_channels);
  realtime::v1::MintRequest request;
  for (JsonMembers reader(*members[0].value); reader.next();) {
    auto channel = text_of(reader.value());
    if (!channel) return ex.fail(bad_channels);
    request.add_channels(std::move(*channel));
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

  const std::string_view token = ex.header("X-Access-Token");
  if (token.empty())
    return ex.call(*ex.core().peers.realtime, "Mint", request.SerializeAsString(),
                   ex.options(rpc::Repeat::kSafe), on_minted);
  std::string hash = crypto::sha256(token);
  const VerifiedToken* known = ex.worker().tokens.find(hash, Exchange::Clock::now());
  if (known && known->project == ex.key().project_id) {
    ex.note = request.SerializeAsString();
    return mint_for_user(ex, *known);
  }
  ex.note = std::move(hash) + request.SerializeAsString();
  auth::v1::VerifyTokenRequest verify;
  verify.set_access_token(token.data(), token.size());
  ex.call(*ex.core().peers.auth, "VerifyToken", verify.SerializeAsString(),
          ex.options(rpc::Repeat::kSafe), on_verified);
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
  const auto options = channel_options(ex, *channel, rpc::Repeat::kNever);
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

void presence(Exchange& ex) {
  auto channel = percent_decode(ex.rest());
  if (!channel || channel->empty() || ex.rest().find('/') != std::string_view::npos)
    return ex.fail(Error(errors::kInvalidChannel, "the channel's name is missing or not encoded"));
  realtime::v1::PresenceRequest request;
  const auto options = channel_options(ex, *channel, rpc::Repeat::kSafe);
  request.set_channel(std::move(*channel));
  ex.call(*ex.core().peers.realtime, "Presence", request.SerializeAsString(), options,
          [](Exchange& e, Result<std::string> result) {
            realtime::v1::PresenceReply reply;
            if (!e.take(result, reply)) return;
            std::string json = std::move(*reply.mutable_json());
            const std::string_view view = json;
            e.reply_around("{\"presence\":", std::move(json), view, "}");
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
      {.name = "realtime_unknown",
       .method = "*",
       .path = "/api/v1/realtime/",
       .open = true,
       .handle = unknown},
  };
  return kRoutes;
}

}  // namespace raymesh::gateway
