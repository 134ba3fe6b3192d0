// Realtime tokens: what a browser opens its socket with. A JWT (HS256) that says for which project
// and channels, as whom and until when; `jti`, key id, session and user are in it so that each of
// them can be revoked. Immutable after start-up: any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/crypto/key_ring.hpp"

namespace raymesh::realtime {

/// What a token may allow on a channel.
enum Permission : uint8_t {
  kSubscribe = 1,
  kPublish = 2,
  kPresence = 4,
  kHistory = 8,
  kAllPermissions = 15,
};
/// subscribe, publish, presence, history; nothing for other names.
std::optional<Permission> parse_permission(std::string_view name);

struct ChannelGrant {
  std::string channel;  // a name, or the beginning of names and `*`
  uint8_t allow = 0;    // Permission

  bool is_pattern() const { return channel.ends_with('*'); }
  bool fits(std::string_view name) const {
    return is_pattern() ? name.starts_with(std::string_view(channel).substr(0, channel.size() - 1))
                        : name == channel;
  }
};

struct Grant {
  std::string project;
  std::vector<std::string> channels;  // with every permission; sorted, without duplicates
  std::vector<ChannelGrant> grants;
  std::string identity;   // empty: anonymous
  std::string user;       // empty: not minted for a signed-in user
  std::string session;    // the user's session, empty without one
  std::string id;         // jti
  std::string key_id;     // kid
  int64_t issued_at = 0;  // Unix seconds
  int64_t expires_at = 0;

  /// Permissions on a channel, of everything that fits.
  uint8_t allowed(std::string_view channel) const;
  /// The channels that it names with `permission`, without patterns; sorted, without duplicates.
  std::vector<std::string> named(Permission permission) const;
};

struct TokenLimits {
  size_t max_channels = 100;
  size_t max_channel_bytes = 200;
  size_t max_identity_bytes = 256;
  size_t max_token_bytes = 6'144;  // stays below the 8 KiB that proxies allow for a request line
  uint32_t default_ttl_seconds = 3'600;
  uint32_t max_ttl_seconds = 86'400;
};

/// Names are 1 to `max_bytes` bytes of UTF-8 without control characters. Errors:
/// `invalid_channel`.
Status check_channel_name(std::string_view name, size_t max_bytes);

class RealtimeTokens {
 public:
  RealtimeTokens(crypto::KeyRing ring, TokenLimits limits)
      : ring_(std::move(ring)), limits_(limits) {}

  /// Signs a token for the grant; its id, key and expiry are filled in here. `ttl_seconds` 0 is
  /// the default. Errors: `invalid_request` (no channels, ttl, identity), `invalid_channel`,
  /// `too_many_channels` (also when the token would grow too long).
  Result<std::string> mint(Grant grant, uint32_t ttl_seconds, int64_t now) const;

  /// Errors: `invalid_token`, `token_expired`.
  Result<Grant> verify(std::string_view token, int64_t now) const;

  const TokenLimits& limits() const { return limits_; }

 private:
  crypto::KeyRing ring_;
  TokenLimits limits_;
};

}  // namespace raymesh::realtime
