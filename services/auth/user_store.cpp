#include "services/auth/user_store.hpp"

#include <charconv>

#include "libs/base/encoding.hpp"
#include "libs/pg/session.hpp"
#include "services/auth/store_status.hpp"

namespace raymesh::auth {
namespace {

// PostgreSQL manual, appendix A.
constexpr std::string_view kUniqueViolation = "23505";
constexpr std::string_view kForeignKeyViolation = "23503";

constexpr const char* kFindKey = R"(
SELECT p.id, coalesce(p.name, ''), k.id, coalesce(k.role, ''), k.development,
       coalesce(k.requests_per_second, 0), coalesce(k.burst, 0)
FROM raymesh_auth.api_keys k JOIN raymesh_auth.projects p ON p.id = k.project_id
WHERE k.hash = $1::bytea AND k.revoked_at IS NULL)";

constexpr const char* kIsSignupRole =
    "SELECT $2 = ANY (signup_roles) FROM raymesh_auth.projects WHERE id = $1";

// Nobody verifies addresses yet, so nobody has to wait for it.
constexpr const char* kInsertUser = R"(
INSERT INTO raymesh_auth.users (id, project_id, email, name, role, password_hash, verified)
VALUES ($1, $2, $3, nullif($4, ''), nullif($5, ''), $6, true)
ON CONFLICT (id) DO NOTHING)";

constexpr const char* kFindUserByEmail = R"(
SELECT id, email, coalesce(role, ''), CASE WHEN claims = '{}' THEN '' ELSE claims::text END,
       password_hash, verified
FROM raymesh_auth.users
WHERE project_id = $1 AND lower(email COLLATE "C") = lower($2 COLLATE "C"))";

constexpr const char* kInsertSession = R"(
INSERT INTO raymesh_auth.sessions (jti, project_id, user_id, expires_at)
VALUES ($1, $2, $3, to_timestamp($4::bigint))
ON CONFLICT (jti) DO NOTHING)";

constexpr const char* kStoreHash = "UPDATE raymesh_auth.users SET password_hash = $2 WHERE id = $1";

constexpr const char* kFindSessionUser = R"(
SELECT u.id, u.email, coalesce(u.role, ''),
       CASE WHEN u.claims = '{}' THEN '' ELSE u.claims::text END, '', u.verified
FROM raymesh_auth.sessions s JOIN raymesh_auth.users u ON u.id = s.user_id
WHERE s.jti = $1 AND s.user_id = $2 AND s.project_id = $3 AND u.project_id = $3
  AND s.revoked_at IS NULL AND s.expires_at > now())";

constexpr const char* kDeleteExpired = R"(
DELETE FROM raymesh_auth.sessions WHERE jti IN (
  SELECT jti FROM raymesh_auth.sessions WHERE expires_at < now() - interval '1 day'
  ORDER BY expires_at LIMIT $1::bigint FOR UPDATE SKIP LOCKED)
RETURNING 1)";

double number(std::string_view text) {
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

User user_of(const pg::Answer& answer) {
  auto text = [&](int column) { return std::string(answer.text(0, column)); };
  return {text(0), text(1), text(2), text(3), text(4), text(5) == "t"};
}

Result<std::optional<User>> one_user(const pg::Answer& answer, std::string_view what) {
  RAYMESH_CHECK_OK(store_status(answer, what));
  if (answer.rows() == 0) return std::optional<User>();
  return std::optional<User>(user_of(answer));
}

}  // namespace

Result<std::optional<ResolvedKey>> find_key(pg::Session& session, std::string_view key_sha256) {
  auto answer = session.prepared(kFindKey, {"\\x" + hex_encode(key_sha256)});
  RAYMESH_CHECK_OK(store_status(answer, "look up an API key"));
  if (answer.rows() == 0) return std::optional<ResolvedKey>();
  auto text = [&](int column) { return std::string(answer.text(0, column)); };
  return std::optional<ResolvedKey>({text(0), text(1), text(2), text(3), text(4) == "t",
                                     number(answer.text(0, 5)), number(answer.text(0, 6))});
}

Result<bool> is_signup_role(pg::Session& session, std::string_view project_id,
                            std::string_view role) {
  auto answer = session.prepared(kIsSignupRole, {std::string(project_id), std::string(role)});
  RAYMESH_CHECK_OK(store_status(answer, "look up the roles of a project"));
  return answer.rows() == 1 && answer.text(0, 0) == "t";
}

Status insert_user(pg::Session& session, const NewUser& user) {
  auto answer = session.prepared(kInsertUser, {user.id, user.project_id, user.email, user.name,
                                               user.role, user.password_hash});
  if (answer.sqlstate() == kUniqueViolation)
    return Error(errors::kEmailExists, "Email already registered");
  if (answer.sqlstate() == kForeignKeyViolation)
    return Error(errors::kNotFound, "there is no project " + user.project_id);
  return store_status(answer, "store a user");
}

Result<std::optional<User>> find_user_by_email(pg::Session& session, std::string_view project_id,
                                               std::string_view email) {
  return one_user(session.prepared(kFindUserByEmail, {std::string(project_id), std::string(email)}),
                  "look up a user");
}

Status insert_session(pg::Session& session, const NewSession& created) {
  if (!created.password_hash.empty())
    RAYMESH_CHECK_OK(
        store_status(session.prepared(kStoreHash, {created.user_id, created.password_hash}),
                     "store a password hash"));
  auto answer = session.prepared(kInsertSession, {created.jti, created.project_id, created.user_id,
                                                  std::to_string(created.expires_at)});
  // Deleted while the password was being checked.
  if (answer.sqlstate() == kForeignKeyViolation)
    return Error(errors::kInvalidCredentials, "Invalid email or password");
  return store_status(answer, "store a session");
}

Result<std::optional<User>> find_session_user(pg::Session& session, std::string_view project_id,
                                              std::string_view jti, std::string_view user_id) {
  return one_user(session.prepared(kFindSessionUser, {std::string(jti), std::string(user_id),
                                                      std::string(project_id)}),
                  "look up a session");
}

Result<size_t> delete_expired_sessions(pg::Session& session, size_t limit) {
  auto answer = session.prepared(kDeleteExpired, {std::to_string(limit)});
  RAYMESH_CHECK_OK(store_status(answer, "delete expired sessions"));
  return static_cast<size_t>(answer.rows());
}

}  // namespace raymesh::auth
