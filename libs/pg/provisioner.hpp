// Makes a project's login role and schema: the step behind `raymesh project create`, and the only
// code that uses an admin login besides the system migrations. No serving process holds that login.
// Blocking; for the command line and start-up threads, never an actor or I/O thread.
#pragma once

#include <string>
#include <string_view>

#include "libs/base/result.hpp"

namespace raymesh::pg {

struct ProvisionOptions {
  /// CONNECTION LIMIT of the project's role: pools of all storage nodes and migrations together.
  int connection_limit = 64;
};

/// Creates, or asserts again, the role raymesh_p_<id> (LOGIN, no other attribute, no memberships,
/// no settings), its password, its schema p_<id> and its row in raymesh_storage.projects; takes
/// from PUBLIC what a project must not have (see provisioner.cpp). Idempotent, one transaction.
/// `admin_url` is a libpq connection string of a superuser or a role with CREATEROLE and CREATE.
/// Run the system migrations first. Errors: invalid_request (id), unavailable (no connection),
/// failed steps as internal with PostgreSQL's message.
Status provision_project(const std::string& admin_url, std::string_view project_id,
                         std::string_view secret, const ProvisionOptions& options = {});

}  // namespace raymesh::pg
