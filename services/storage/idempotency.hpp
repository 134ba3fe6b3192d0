// Writes with an idempotency key: done once, however often they are sent. The first one keeps its
// result in its own transaction (raymesh_storage.keep_result, called by the statement itself),
// those after it get that result. Pure: SQL to run, and answers read; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/pg/request.hpp"
#include "services/storage/statement.hpp"
#include "services/storage/table_info.hpp"

namespace raymesh::storage {

inline constexpr size_t kMaxIdempotencyKey = 255;

/// A key belongs to a project, which the database takes from its session, and to a user of it.
struct IdempotencyKey {
  std::string user;  // empty: the API key alone
  std::string key;   // empty: none
  std::string hash;  // of the request, hex: see request_hash

  explicit operator bool() const { return !key.empty(); }
};

/// 1 to 255 characters of ASCII without control characters; else invalid_request.
Status check_idempotency_key(std::string_view key);

/// Of what makes two requests the same one, in their order.
std::string request_hash(std::initializer_list<std::string_view> parts);

/// Makes the write keep its result. PostgreSQL then refuses it with kKeyInUse, and nothing has
/// happened, when another request has the key.
Status keep_result(Statement& statement, const TableInfo& table, const IdempotencyKey& key);
inline constexpr std::string_view kKeyInUse = "RM001";

/// $1 user, $2 key: hash, form and result of what is kept, as text; no row when nothing is.
inline constexpr std::string_view kReadKeptSql =
    "SELECT hash, form, result FROM raymesh_storage.kept_result($1, $2)";
pg::Parameters read_kept_parameters(const IdempotencyKey& key);

/// What is kept.
struct KeptResult {
  std::string hash;
  ResultShape shape = ResultShape::kInsertedId;
  std::vector<pg::ResultColumn> columns;
  bool has_row = false;
  std::vector<std::optional<std::string>> values;  // as PostgreSQL writes them
};
/// Of one row of kReadKeptSql; nullopt when it has a form that this version does not know.
std::optional<KeptResult> read_kept(std::string_view hash, std::string_view form,
                                    std::optional<std::string_view> result);

/// The same for a migration, within its transaction: $1 to $5 user, key, hash, form, result.
inline constexpr std::string_view kKeepMigrationSql =
    "SELECT raymesh_storage.keep_result($1, $2, $3, $4, $5)";
inline constexpr std::string_view kMigrationForm = "migration";
/// {"statements":3,"warnings":["..."]}
std::string migration_result(uint32_t statements, const std::vector<std::string>& warnings);
bool read_migration_result(std::string_view result, uint32_t& statements,
                           std::vector<std::string>& warnings);

/// The key was used for another request.
Error key_conflict(std::string_view key);

/// Removes some of what is older than a day. As raymesh_storage.
inline constexpr std::string_view kSweepKeptSql =
    "DELETE FROM raymesh_storage.kept_results WHERE ctid = ANY (ARRAY("
    "SELECT ctid FROM raymesh_storage.kept_results"
    " WHERE kept_at < now() - interval '24 hours' LIMIT 1000 FOR UPDATE SKIP LOCKED))";

}  // namespace raymesh::storage
