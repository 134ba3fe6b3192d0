// Runs migrations of a test project as the storage service does.
#pragma once

#include <string>
#include <string_view>

#include "services/storage/migrator.hpp"
#include "tests/db/storage/storage_harness.hpp"

namespace raymesh::testing {

storage::MigrateRequest migrate_request(const TestProject& project,
                                        const PostgresServer& server = PostgresServer::shared());

inline Result<storage::MigrateOutcome> migrate(const TestProject& project, std::string_view sql,
                                               const storage::MigrateOptions& options = {}) {
  return storage::migrate(migrate_request(project), sql, options);
}

/// "ok", or "<code>: <message>".
std::string outcome_text(const Result<storage::MigrateOutcome>& outcome);

/// Throws when it fails.
void must_migrate(const TestProject& project, std::string_view sql);

}  // namespace raymesh::testing
