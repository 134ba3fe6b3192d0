#include "tests/db/storage/migrate_harness.hpp"

#include <stdexcept>

#include "libs/pg/project_identity.hpp"
#include "services/storage/schema.hpp"

namespace raymesh::testing {

storage::MigrateRequest migrate_request(const TestProject& project, const PostgresServer& server) {
  const auto identity = pg::project_identity(project.id, kRoleSecret);
  if (!identity.ok()) throw std::runtime_error(identity.error().message);
  return {.server_url = server.server_url(),
          .role = identity->role,
          .password = identity->password,
          .schema = identity->schema,
          .project_id = project.id,
          .system_url = server.url(storage::kSystemSchema, kSystemPassword)};
}

std::string outcome_text(const Result<storage::MigrateOutcome>& outcome) {
  if (outcome.ok()) return "ok";
  return std::string(outcome.error().code()) + ": " + outcome.error().message;
}

void must_migrate(const TestProject& project, std::string_view sql) {
  const auto outcome = migrate(project, sql);
  if (!outcome.ok()) throw std::runtime_error(outcome_text(outcome) + " in " + std::string(sql));
}

}  // namespace raymesh::testing
