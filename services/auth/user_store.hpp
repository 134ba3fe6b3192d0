// The auth service's statements, as role raymesh_auth: keys, users and sessions. Every one may be
// run twice when a connection breaks (Database::run). Blocking; database threads only.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"

namespace raymesh::pg {
class Session;
}

namespace raymesh::auth {

struct ResolvedKey {
  std::string project_id;
  std::string project_name;  // empty: none
  std::string key_id;
  std::string role;  // empty: all rights
  bool development = false;
  double requests_per_second = 0;  // 0: the gateway's default
  double burst = 0;
};

struct User {
  std::string id;
  std::string email;
  std::string role;         // empty: none
  std::string claims_json;  // empty: none
  std::string password_hash;
  bool verified = false;
};

struct NewUser {
  std::string id;  // a new UUID
  std::string project_id;
  std::string email;  // clean_email
  std::string name;   // empty: none
  std::string role;   // empty: none
  std::string password_hash;
};

struct NewSession {
  std::string jti;  // a new UUID
  std::string project_id;
  std::string user_id;
  int64_t expires_at = 0;     // Unix seconds
  std::string password_hash;  // not empty: also store this hash, made with today's parameters
};

/// By the SHA-256 of the key; nullopt when there is none in force.
Result<std::optional<ResolvedKey>> find_key(pg::Session& session, std::string_view key_sha256);

/// Whether a client of the project may ask for this role at signup.
Result<bool> is_signup_role(pg::Session& session, std::string_view project_id,
                            std::string_view role);

/// Errors: EmailExists, not_found (the project).
Status insert_user(pg::Session& session, const NewUser& user);

Result<std::optional<User>> find_user_by_email(pg::Session& session, std::string_view project_id,
                                               std::string_view email);

/// Errors: InvalidCredentials when there is no such user any more.
Status insert_session(pg::Session& session, const NewSession& created);

/// The user of a session that is alive; nullopt when it is unknown, revoked, expired, or not this
/// user's. password_hash is left empty.
Result<std::optional<User>> find_session_user(pg::Session& session, std::string_view project_id,
                                              std::string_view jti, std::string_view user_id);

/// Deletes sessions that expired more than a day ago, at most `limit`; how many it were.
Result<size_t> delete_expired_sessions(pg::Session& session, size_t limit);

}  // namespace raymesh::auth
