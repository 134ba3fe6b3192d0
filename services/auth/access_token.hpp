// Access tokens: what a login gives to an end user. An HS256 JWT (libs/crypto/jwt.hpp) that says
// who (sub, email, role, claims), where (aud names the project, so that no token is good for two of
// them) and which session (jti). Pure functions, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"
#include "libs/crypto/key_ring.hpp"

namespace raymesh::auth {

struct AccessToken {
  std::string project;
  std::string user;
  std::string session;  // jti, a UUID
  std::string email;
  std::string role;         // empty: none
  std::string claims_json;  // a JSON object; empty: none
  int64_t issued_at = 0;    // Unix seconds
  int64_t expires_at = 0;
};

/// Longer tokens are neither made nor accepted: they have to fit in a cookie or header.
inline constexpr size_t kMaxAccessTokenBytes = 4'096;

/// Error: internal when the claims make the token too long.
Result<std::string> sign_access_token(const crypto::KeyRing& keys, const AccessToken& token);

/// What the token proves by itself; that its session is alive is for the sessions table to say.
struct ProvenToken {
  std::string user;
  std::string session;
  int64_t expires_at = 0;
};
/// Errors: invalid_token, token_expired.
Result<ProvenToken> verify_access_token(const crypto::KeyRing& keys, std::string_view project,
                                        std::string_view token, int64_t now);

}  // namespace raymesh::auth
