// JSON Web Tokens (RFC 7519) signed with HS256 (RFC 7515, RFC 7518 section 3.2), and no other
// form of them. Only tokens that `sign` could have made are accepted: the header must be byte for
// byte the one that belongs to a key of the ring, so there is no algorithm to confuse, no `crit`,
// no `jwk`, and nothing that the sender wrote is parsed before the signature holds. Pure functions,
// any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"
#include "libs/crypto/key_ring.hpp"

namespace raymesh::crypto::jwt {

/// What a verifier asks for beyond the signature.
struct Checks {
  /// Unix seconds, from the caller's clock.
  int64_t now = 0;
  /// How far the clocks of two machines may be apart, in seconds; widens exp, nbf and iat alike.
  int64_t leeway = 0;
  /// When not empty, the claim `aud` must be exactly this string. Give every kind of token an
  /// audience of its own, or one could be used for another.
  std::string_view audience;
  /// Longer tokens are refused before anything is computed.
  size_t max_bytes = 8'192;
};

/// A token that has passed. The registered claims (RFC 7519 section 4.1) by name, all others in
/// `payload`, which is a JSON object.
struct Token {
  std::string key_id;
  std::string payload;
  std::string subject;     // sub; empty: none
  std::string id;          // jti; empty: none
  int64_t issued_at = 0;   // iat, Unix seconds; 0: none
  int64_t expires_at = 0;  // exp, Unix seconds
};

/// The compact serialization of `claims`, a JSON object, signed with the ring's first key. The
/// caller puts in `exp` (without which no token verifies), and `aud`.
std::string sign(const KeyRing& ring, std::string_view claims);

/// Errors: `invalid_token` for everything, `token_expired` when only `exp` has passed. The message
/// is for the log and never contains the token.
Result<Token> verify(const KeyRing& ring, std::string_view token, const Checks& checks);

/// Seconds since 1970 by the system's clock.
int64_t unix_now();

}  // namespace raymesh::crypto::jwt
