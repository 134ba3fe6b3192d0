#include "libs/pg/system_migrator.hpp"

#include <map>

#include "libs/base/encoding.hpp"
#include "libs/crypto/hash.hpp"
#include "libs/pg/role_admin.hpp"

namespace raymesh::pg {
namespace {

constexpr const char* kHistory =
    "CREATE TABLE IF NOT EXISTS schema_migrations ("
    " version integer PRIMARY KEY,"
    " name text NOT NULL,"
    " checksum text NOT NULL,"
    " applied_at timestamptz NOT NULL DEFAULT now())";

using History = std::map<uint32_t, std::string>;  // version -> checksum

Result<History> read_history(Session& admin, const std::string& schema) {
  RAYMESH_CHECK_OK(admin.query(kHistory).status(errors::kInternal, schema + ": history table"));
  Answer found = admin.query("SELECT version, checksum FROM schema_migrations");
  RAYMESH_CHECK_OK(found.status(errors::kInternal, schema + ": read the history"));
  History history;
  for (int row = 0; row < found.rows(); ++row) {
    history.emplace(static_cast<uint32_t>(std::stoul(std::string(found.text(row, 0)))),
                    found.text(row, 1));
  }
  return history;
}

/// The versions that ran must be the first ones of the list, with the text they have today.
Status check_history(const SystemSchema& schema, const History& history) {
  for (const auto& [version, checksum] : history) {
    if (version > schema.migrations.size()) {
      return Error(kSchemaNewer, "schema " + schema.name + " is at version " +
                                     std::to_string(version) + ", but this program knows only " +
                                     std::to_string(schema.migrations.size()) +
                                     ": the database was made by a newer raymesh; run that one");
    }
    if (hex_encode(crypto::sha256(schema.migrations[version - 1].sql)) != checksum) {
      return Error(kSchemaChanged,
                   "migration " + std::to_string(version) + " (" +
                       schema.migrations[version - 1].name + ") of schema " + schema.name +
                       " was changed after it ran; restore its text and add a new one");
    }
  }
  return ok_status();
}

Status apply(Session& admin, const std::string& schema, const Migration& migration) {
  const std::string what =
      schema + ": migration " + std::to_string(migration.version) + " (" + migration.name + ")";
  RAYMESH_CHECK_OK(admin.script(migration.sql).status(errors::kInternal, what));
  return admin
      .query("INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
             {std::to_string(migration.version), migration.name,
              hex_encode(crypto::sha256(migration.sql))})
      .status(errors::kInternal, what + ": record");
}

Status bring_up_to_date(Session& admin, const SystemSchema& schema,
                        std::vector<AppliedMigration>& applied) {
  RAYMESH_CHECK_OK(begin_admin_transaction(admin));
  RAYMESH_CHECK_OK(assert_role(admin, {.name = schema.name, .password = schema.password}));
  RAYMESH_CHECK_OK(assert_schema(admin, schema.name, schema.name));
  const std::string name = admin.identifier(schema.name);
  RAYMESH_CHECK_OK(admin.query("SET LOCAL ROLE " + name)
                       .status(errors::kInternal, "act as role " + schema.name));
  RAYMESH_CHECK_OK(
      admin.query("SET LOCAL search_path = " + name).status(errors::kInternal, "set search_path"));
  RAYMESH_TRY(const History history, read_history(admin, schema.name));
  RAYMESH_CHECK_OK(check_history(schema, history));
  for (const Migration& migration : schema.migrations) {
    if (history.contains(migration.version)) continue;
    RAYMESH_CHECK_OK(apply(admin, schema.name, migration));
    applied.push_back({schema.name, migration.version, migration.name});
  }
  return admin.query("COMMIT").status(errors::kInternal, schema.name + ": commit");
}

Status check_numbers(const SystemSchema& schema) {
  for (size_t i = 0; i < schema.migrations.size(); ++i) {
    if (schema.migrations[i].version == i + 1) continue;
    return Error(errors::kInternal,
                 "the migrations of schema " + schema.name + " are not numbered 1, 2, 3, ...");
  }
  return ok_status();
}

}  // namespace

Result<std::vector<AppliedMigration>> run_system_migrations(
    const std::string& admin_url, const std::vector<SystemSchema>& schemas) {
  RAYMESH_TRY(Session admin, Session::connect(admin_url));
  std::vector<AppliedMigration> applied;
  for (const SystemSchema& schema : schemas) {
    RAYMESH_CHECK_OK(check_numbers(schema));
    RAYMESH_CHECK_OK(bring_up_to_date(admin, schema, applied));
  }
  return applied;
}

}  // namespace raymesh::pg
