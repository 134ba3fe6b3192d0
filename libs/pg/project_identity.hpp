// How a project is named inside PostgreSQL: its login role, its schema and the role's password, all
// derived from the project's id, so that every node knows them without asking. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

#include "libs/base/result.hpp"

namespace raymesh::pg {

struct ProjectIdentity {
  std::string role;      // raymesh_p_<id>
  std::string schema;    // p_<id>
  std::string password;  // a secret: hex(HMAC-SHA256(secret, "raymesh project role" NUL id))
};

/// ^[a-z][a-z0-9_-]{0,38}$: with the prefixes it stays far below PostgreSQL's 63 bytes.
bool is_valid_project_id(std::string_view id);

/// invalid_request when the id is not one. `secret` is the cluster's project-role secret.
Result<ProjectIdentity> project_identity(std::string_view project_id, std::string_view secret);

}  // namespace raymesh::pg
