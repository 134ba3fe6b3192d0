// Service tokens: what lets a program that is not part of the cluster call a service, in one
// project only. `rst_` and an HS256 JWT with `sub` (the project's id), `jti`, `iat` and `exp`, sent
// as `authorization: Bearer rst_...`. Pure functions, any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"
#include "libs/crypto/key_ring.hpp"

namespace raymesh::rpc {

struct ServiceToken {
  std::string id;  // jti: for logs, and the caller's name
  std::string project;
};

/// A new token that works for `life`. Errors: `invalid_value` for an empty project or a life under
/// a second.
Result<std::string> sign_service_token(const crypto::KeyRing& keys, std::string_view project,
                                       std::chrono::seconds life);

/// Errors: `unauthenticated`, for a foreign, tampered or expired token. `unix_now` in seconds.
Result<ServiceToken> verify_service_token(const crypto::KeyRing& keys, std::string_view token,
                                          int64_t unix_now);

}  // namespace raymesh::rpc
