#include "services/auth/key_store.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "libs/base/encoding.hpp"
#include "libs/crypto/hash.hpp"
#include "libs/crypto/random.hpp"
#include "libs/pg/session.hpp"
#include "services/auth/account_rules.hpp"
#include "services/auth/store_status.hpp"

namespace raymesh::auth {
namespace {

constexpr std::string_view kPrefix = "dc_";
constexpr size_t kShownCharacters = 9;  // "dc_" and 36 of 256 bits

Error invalid(std::string message) {
  return {errors::kInvalidRequest, std::move(message)};
}

std::optional<std::string> or_null(std::string_view text) {
  if (text.empty()) return std::nullopt;
  return std::string(text);
}

std::optional<std::string> number(std::optional<double> value) {
  if (!value) return std::nullopt;
  std::array<char, 32> buffer{};
  auto [end, ec] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), *value);
  return std::string(buffer.data(), end);
}

Status check(const NewKey& key) {
  if (!is_display_name(key.name)) return invalid("bad key name: " + key.name);
  if (!key.role.empty() && !is_role_name(key.role)) return invalid("bad role: " + key.role);
  if (key.requests_per_second.has_value() != key.burst.has_value())
    return invalid("a rate limit needs both requests per second and burst");
  if (key.requests_per_second && !(*key.requests_per_second > 0 && *key.burst >= 1))
    return invalid("a rate limit needs more than 0 requests per second and a burst of at least 1");
  return ok_status();
}

// PostgreSQL's input form of bytea, so that all parameters stay text.
std::string bytea(std::string_view bytes) {
  return "\\x" + hex_encode(bytes);
}

}  // namespace

bool is_api_key_text(std::string_view text) {
  return text.size() > kPrefix.size() && text.size() <= 256 && text.starts_with(kPrefix) &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

Result<CreatedKey> KeyStore::create(const NewKey& key) {
  return ensure(key, std::string(kPrefix) + crypto::random_token(32));
}

Result<CreatedKey> KeyStore::ensure(const NewKey& key, std::string_view text) {
  RAYMESH_CHECK_OK(check(key));
  if (!is_api_key_text(text)) return invalid("an API key must begin with dc_");
  auto project =
      session_.query("SELECT 1 FROM raymesh_auth.projects WHERE id = $1", {key.project_id});
  RAYMESH_CHECK_OK(store_status(project, "cannot look up the project"));
  if (project.rows() == 0) return Error(errors::kNotFound, "there is no project " + key.project_id);
  auto answer = session_.query(
      "INSERT INTO raymesh_auth.api_keys AS k (id, project_id, hash, prefix, name, role, "
      "requests_per_second, burst, development) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
      "ON CONFLICT (hash) DO UPDATE SET name = excluded.name, role = excluded.role, "
      "requests_per_second = excluded.requests_per_second, burst = excluded.burst, "
      "development = excluded.development, revoked_at = NULL "
      "WHERE k.project_id = excluded.project_id RETURNING id",
      {"key_" + hex_encode(crypto::random_bytes(8)), key.project_id, bytea(crypto::sha256(text)),
       std::string(text.substr(0, kShownCharacters)), or_null(key.name), or_null(key.role),
       number(key.requests_per_second), number(key.burst), key.development ? "true" : "false"});
  RAYMESH_CHECK_OK(store_status(answer, "cannot store the key"));
  if (answer.rows() == 0)
    return Error(errors::kUniqueViolation, "this key belongs to another project");
  return CreatedKey{std::string(answer.text(0, 0)), std::string(text)};
}

Result<std::vector<ApiKey>> KeyStore::list(std::string_view project_id) {
  auto answer = session_.query(
      "SELECT id, project_id, prefix, coalesce(name, ''), coalesce(role, ''), development, "
      "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), "
      "coalesce(to_char(revoked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '') "
      "FROM raymesh_auth.api_keys WHERE $1 = '' OR project_id = $1 "
      "ORDER BY project_id, created_at, id",
      {std::string(project_id)});
  RAYMESH_CHECK_OK(store_status(answer, "cannot list the keys"));
  std::vector<ApiKey> out;
  for (int row = 0; row < answer.rows(); ++row) {
    auto text = [&](int column) { return std::string(answer.text(row, column)); };
    out.push_back({text(0), text(1), text(2), text(3), text(4), text(5) == "t", text(6), text(7)});
  }
  return out;
}

Result<bool> KeyStore::revoke(std::string_view id) {
  auto answer = session_.query(
      "WITH known AS (SELECT id, revoked_at FROM raymesh_auth.api_keys WHERE id = $1), "
      "done AS (UPDATE raymesh_auth.api_keys k SET revoked_at = now() FROM known "
      "WHERE k.id = known.id AND known.revoked_at IS NULL RETURNING k.id) "
      "SELECT (SELECT count(*) FROM known), (SELECT count(*) FROM done)",
      {std::string(id)});
  RAYMESH_CHECK_OK(store_status(answer, "cannot revoke the key"));
  if (answer.text(0, 0) == "0")
    return Error(errors::kNotFound, "there is no key " + std::string(id));
  return answer.text(0, 1) == "1";
}

}  // namespace raymesh::auth
