// The migrations of the storage service's own schema, raymesh_storage. A constant; any thread.
#pragma once

#include <vector>

#include "libs/pg/system_migrator.hpp"

namespace raymesh::storage {

/// The name of the schema and of the login role that owns it.
inline constexpr const char* kSystemSchema = "raymesh_storage";

/// raymesh_storage.projects(project_id text primary key, schema_epoch bigint, created_at).
const std::vector<pg::Migration>& system_migrations();

}  // namespace raymesh::storage
