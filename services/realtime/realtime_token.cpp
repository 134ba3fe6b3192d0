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

Result<std::string> RealtimeTokens::mint(Grant grant, uint32_t ttl_seconds, int64_t now) const {
  if (ttl_seconds == 0) ttl_seconds = limits_.default_ttl_seconds;
  if (ttl_seconds > limits_.max_ttl_seconds)
    return Error(errors::kInvalidRequest, "ttl is " + std::to_string(ttl_seconds) +
                                              " seconds; at most " +
                                              std::to_string(limits_.max_ttl_seconds));
  if (grant.channels.empty())
    return Error(errors::kInvalidRequest, "channels is required: a list with at least one name");
  for (const auto& name : grant.channels)
    RAYMESH_CHECK_OK(check_channel_name(name, limits_.max_channel_bytes));
  std::sort(grant.channels.begin(), grant.channels.end());
  grant.channels.erase(std::unique(grant.channels.begin(), grant.channels.end()),
                       grant.channels.end());
  if (grant.channels.size() > limits_.max_channels)
    return Error(errors::kTooManyChannels, std::to_string(grant.channels.size()) +
                                               " channels; a token may have at most " +
                                               std::to_string(limits_.max_channels));
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
  grant.project = text_member(claims, "prj");
  if (grant.channels.empty() || grant.channels.size() > limits_.max_channels ||
      grant.project.empty() || checked.id.empty())
    return Error(errors::kInvalidToken, "a claim of the token is missing");
  grant.identity = text_member(claims, "idn");
  grant.session = text_member(claims, "sid");
  grant.user = std::move(checked.subject);
  grant.id = std::move(checked.id);
  grant.key_id = std::move(checked.key_id);
  grant.expires_at = checked.expires_at;
  return grant;
}

}  // namespace raymesh::realtime
