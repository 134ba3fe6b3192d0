#include "services/storage/schema.hpp"

namespace raymesh::storage {

const std::vector<pg::Migration>& system_migrations() {
  static const std::vector<pg::Migration> kMigrations = {
      {1, "projects", R"sql(
CREATE TABLE projects (
  project_id text PRIMARY KEY,
  -- Raised after every migration of the project: what nodes cached under an older one is stale.
  schema_epoch bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now()
);
)sql"},
  };
  return kMigrations;
}

}  // namespace raymesh::storage
