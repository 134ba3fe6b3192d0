// The migrations of the auth service's own schema, raymesh_auth. A constant; any thread.
#pragma once

#include <vector>

#include "libs/pg/system_migrator.hpp"

namespace raymesh::auth {

/// The name of the schema and of the login role that owns it.
inline constexpr const char* kSystemSchema = "raymesh_auth";

/// raymesh_auth.{projects, api_keys, users, sessions}.
const std::vector<pg::Migration>& system_migrations();

}  // namespace raymesh::auth
