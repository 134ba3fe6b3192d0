#include "services/realtime/realtime_token.hpp"

#include <simdjson.h>

#include <algorithm>

#include "libs/base/encoding.hpp"
#include "libs/base/json_writer.hpp"
#include "libs/crypto/jwt.hpp"
#include "libs/crypto/random.hpp"

namespace raymesh::realtime {
namespace {

// Realtime tokens are good for nothing else, and no other token opens a socket.
constexpr std::string_view kAudience = "raymesh.realtime";
// What the clocks of the node that mints and the one that verifies may be apart.
constexpr int64_t kClockLeewaySeconds = 2;

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

std::string text_member(const simdjson::dom::element& claims, std::string_view name) {
  std::string_view value;
  return claims[name].get(value) == simdjson::SUCCESS ? std::string(value) : std::string();
}

}  // namespace

Status check_channel_name(std::string_view name, size_t max_bytes) {
  if (name.empty()) return Error(errors::kInvalidChannel, "channel is required");
  if (name.size() > max_bytes)
    return Error(errors::kInvalidChannel, "the channel name has " + std::to_string(name.size()) +
                                              " bytes; at most " + std::to_string(max_bytes) +
                                              " are allowed");
  if (std::any_of(name.begin(), name.end(), is_control))
    return Error(errors::kInvalidChannel, "the channel name has a control character");
  if (!is_valid_utf8(name)) return Error(errors::kInvalidChannel, "the channel name is not UTF-8");
  return ok_status();
}

std::optional<Permission> parse_permission(std::string_view name) {
  if (name == "subscribe") return kSubscribe;
  if (name == "publish") return kPublish;
  if (name == "presence") return kPresence;
  if (name == "history") return kHistory;
  return std::nullopt;
}

uint8_t Grant::allowed(std::string_view channel) const {
  if (std::binary_search(channels.begin(), channels.end(), channel)) return kAllPermissions;
  uint8_t out = 0;
  for (const ChannelGrant& g : grants)
    if (g.fits(channel)) out |= g.allow;
  return out;
}

std::vector<std::string> Grant::named(Permission permission) const {
  std::vector<std::string> out = channels;
  for (const ChannelGrant& g : grants)
    if (!g.is_pattern() && (g.allow & permission)) out.push_back(g.channel);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Result<std::string> RealtimeTokens::mint(Grant grant, uint32_t ttl_seconds, int64_t now) const {
  if (ttl_seconds == 0) ttl_seconds = limits_.default_ttl_seconds;
  if (ttl_seconds > limits_.max_ttl_seconds)
    return Error(errors::kInvalidRequest, "ttl is " + std::to_string(ttl_seconds) +
                                              " seconds; at most " +
                                              std::to_string(limits_.max_ttl_seconds));
  if (grant.channels.empty() && grant.grants.empty())
    return Error(errors::kInvalidRequest, "channels is required: a list with at least one name");
  for (const ChannelGrant& g : grant.grants) {
    if (g.channel != "*")
      RAYMESH_CHECK_OK(check_channel_name(g.channel, limits_.max_channel_bytes));
    if (g.allow == 0)
      return Error(errors::kInvalidRequest, "the grant for '" + g.channel + "' allows nothing");
  }
  for (const auto& name : grant.channels)
    RAYMESH_CHECK_OK(check_channel_name(name, limits_.max_channel_bytes));
  std::sort(grant.channels.begin(), grant.channels.end());
  grant.channels.erase(std::unique(grant.channels.begin(), grant.channels.end()),
                       grant.channels.end());
  if (grant.channels.size() + grant.grants.size() > limits_.max_channels)
    return Error(errors::kTooManyChannels,
                 std::to_string(grant.channels.size() + grant.grants.size()) +
                     " channels; a token may have at most " + std::to_string(limits_.max_channels));
  if (grant.identity.size() > limits_.max_identity_bytes || !is_valid_utf8(grant.identity))
    return Error(errors::kInvalidRequest, "identity must be UTF-8 of at most " +
                                              std::to_string(limits_.max_identity_bytes) +
                                              " bytes");

  std::string claims;
  json::Object object(claims);
  object.string("aud", kAudience);
  object.string("jti", crypto::random_token(16));
  object.integer("iat", now);
  object.integer("exp", now + ttl_seconds);
  object.string("prj", grant.project);
  std::string& list = object.key("chn");
  list += '[';
  for (size_t i = 0; i < grant.channels.size(); ++i) {
    if (i > 0) list += ',';
    json::append_string(list, grant.channels[i]);
  }
  list += ']';
  if (!grant.grants.empty()) {
    std::string& grants = object.key("grt");
    grants += '[';
    for (const ChannelGrant& g : grant.grants) {
      if (grants.back() != '[') grants += ',';
      grants += '[';
      json::append_string(grants, g.channel);
      grants += ',';
      json::append_uint(grants, g.allow);
      grants += ']';
    }
    grants += ']';
  }
  if (!grant.identity.empty()) object.string("idn", grant.identity);
  if (!grant.user.empty()) object.string("sub", grant.user);
  if (!grant.session.empty()) object.string("sid", grant.session);
  object.end();

  std::string token = crypto::jwt::sign(ring_, claims);
  if (token.size() > limits_.max_token_bytes)
    return Error(errors::kTooManyChannels,
                 "the names of " + std::to_string(grant.channels.size()) +
                     " channels do not fit in a token; ask for fewer or shorter ones");
  return token;
}

Result<Grant> RealtimeTokens::verify(std::string_view token, int64_t now) const {
  RAYMESH_TRY(auto checked, crypto::jwt::verify(ring_, token,
                                                {.now = now,
                                                 .leeway = kClockLeewaySeconds,
                                                 .audience = kAudience,
                                                 .max_bytes = limits_.max_token_bytes}));
  thread_local simdjson::dom::parser parser;
  simdjson::dom::element claims;
  simdjson::dom::array channels;
  if (parser.parse(checked.payload).get(claims) != simdjson::SUCCESS ||
      claims["chn"].get(channels) != simdjson::SUCCESS)
    return Error(errors::kInvalidToken, "the token has no channels");
  Grant grant;
  for (const simdjson::dom::element channel : channels) {
    std::string_view name;
    if (channel.get(name) != simdjson::SUCCESS ||
        !check_channel_name(name, limits_.max_channel_bytes).ok())
      return Error(errors::kInvalidToken, "the token names a channel that is none");
    grant.channels.emplace_back(name);
  }
  std::sort(grant.channels.begin(), grant.channels.end());
  simdjson::dom::array grants;
  if (claims["grt"].get(grants) == simdjson::SUCCESS)
    for (const simdjson::dom::element pair : grants) {
      std::string_view name;
      uint64_t allow = 0;
      if (pair.at(0).get(name) != simdjson::SUCCESS || pair.at(1).get(allow) != simdjson::SUCCESS ||
          !check_channel_name(name, limits_.max_channel_bytes).ok())
        return Error(errors::kInvalidToken, "the token has a grant that is none");
      grant.grants.push_back({std::string(name), static_cast<uint8_t>(allow & kAllPermissions)});
    }
  grant.project = text_member(claims, "prj");
  const size_t named = grant.channels.size() + grant.grants.size();
  if (named == 0 || named > limits_.max_channels || grant.project.empty() || checked.id.empty())
    return Error(errors::kInvalidToken, "a claim of the token is missing");
  grant.identity = text_member(claims, "idn");
  grant.session = text_member(claims, "sid");
  grant.user = std::move(checked.subject);
  grant.id = std::move(checked.id);
  grant.key_id = std::move(checked.key_id);
  grant.expires_at = checked.expires_at;
  grant.issued_at = checked.issued_at;
  return grant;
}

}  // namespace raymesh::realtime
