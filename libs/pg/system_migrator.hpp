// The system schemas (raymesh_auth, raymesh_storage): each belongs to one login role of its
// service and grows by numbered SQL migrations, run by an admin login under an advisory lock.
// Blocking; for the command line and start-up threads, never an actor or I/O thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::pg {

/// For the person who runs the command; no client of the cluster sees them.
inline constexpr ErrorKind kSchemaNewer{"schema_newer", StatusCode::kFailedPrecondition, 500,
                                        "The database was made by a newer raymesh"};
inline constexpr ErrorKind kSchemaChanged{"schema_changed", StatusCode::kFailedPrecondition, 500,
                                          "A migration that ran has another text now"};

struct Migration {
  uint32_t version;  // 1, 2, 3, ... without gaps
  std::string name;  // "projects"
  std::string sql;   // runs as the schema's role with search_path = the schema; many statements
};

struct SystemSchema {
  std::string name;      // the schema's and its login role's name: "raymesh_auth"
  std::string password;  // of the role; a secret
  std::vector<Migration> migrations;
};

struct AppliedMigration {
  std::string schema;
  uint32_t version;
  std::string name;
};

/// Brings every schema to its newest version: makes role and schema when they are missing, asserts
/// the role's attributes and password, then runs what is new, each schema in one transaction.
/// Recorded in <schema>.schema_migrations with a checksum. Several callers at once are safe
/// (advisory lock). Returns what was applied now. Errors: unavailable (no connection);
/// failed_precondition when the database is newer than this binary or a migration that ran has
/// other text now.
Result<std::vector<AppliedMigration>> run_system_migrations(
    const std::string& admin_url, const std::vector<SystemSchema>& schemas);

}  // namespace raymesh::pg
