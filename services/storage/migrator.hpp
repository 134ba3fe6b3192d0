// Runs one migration of a project: the statements of `POST /api/v1/db/migrate`, all or nothing, as
// the project's own role on a connection of its own. Blocking for as long as the statements take:
// call it on a thread that may block (the storage service's migration pool), never on an I/O or
// actor scheduler thread. Stateless; many threads may call it at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"
#include "services/storage/idempotency.hpp"

namespace raymesh::storage {

struct MigrateOptions {
  std::chrono::milliseconds deadline{60'000};     // wall clock, for the whole script
  std::chrono::milliseconds lock_timeout{5'000};  // waiting for one lock
  std::chrono::milliseconds grace{10'000};        // for each step after it: commit, clean up
  size_t max_sql_bytes = size_t{1024} * 1024;
  size_t max_statements = 1000;
  size_t max_warnings = 100;
};

struct MigrateRequest {
  std::string server_url;  // libpq connection string of the server, without user and password
  std::string role;        // raymesh_p_<id>
  std::string password;    // of the role; a secret
  std::string schema;      // p_<id>
  std::string project_id;  // row of raymesh_storage.projects whose epoch is raised
  std::string system_url;  // libpq connection string of the role raymesh_storage
  IdempotencyKey idempotency{};
};

struct MigrateOutcome {
  uint32_t executed_statements = 0;
  std::vector<std::string> warnings;  // PostgreSQL's NOTICE and WARNING messages, bounded
  int64_t schema_epoch = 0;           // after the raise; caches older than it are stale
};

/// The statements are split and checked (statement_policy.hpp) before a connection is made. Then,
/// in one transaction on a fresh connection of the project's role: each statement by the extended
/// protocol; deferred constraints; the schema must still be the role's; the role's settings and
/// password are set again, for a DO block may have changed them; COMMIT. Then the project's schema
/// epoch is raised. Migrations of one project run one after the other.
///
/// Errors: sql_required, body_too_large, invalid_request (too many statements),
/// forbidden_statement, migration_failed (statement number, line and PostgreSQL's message),
/// idempotency_conflict, serialization_failure (deadlock), statement_timeout (deadline),
/// unavailable (no connection, or lost before COMMIT), outcome_unknown (lost at COMMIT and not
/// found out since). After an error nothing has changed, outcome_unknown excepted.
Result<MigrateOutcome> migrate(const MigrateRequest& request, std::string_view sql,
                               const MigrateOptions& options = {});

}  // namespace raymesh::storage
