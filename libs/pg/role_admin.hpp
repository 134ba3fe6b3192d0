// What the system migrations and the provisioning of projects share: an admin's transaction and the
// assertion of a login role. Used inside libs/pg only; blocking, one thread.
#pragma once

#include <string>

#include "libs/pg/session.hpp"

namespace raymesh::pg {

struct RoleSpec {
  std::string name;
  std::string password;       // a secret
  int connection_limit = -1;  // CONNECTION LIMIT; -1 is none
  /// Also drop every setting of the role and every membership, which a project's role must not
  /// have.
  bool strict = false;
};

/// BEGIN, then the advisory lock that all of raymesh's administration takes, held until COMMIT or
/// ROLLBACK: two `raymesh migrate` at once run one after the other.
Status begin_admin_transaction(Session& admin);

/// Creates the role or sets it to the spec: LOGIN and no other attribute. Inside a transaction. The
/// admin becomes a member of the role when it is not a superuser, so that it can make things for
/// it.
Status assert_role(Session& admin, const RoleSpec& spec);

/// Creates the schema when it is missing and makes the role its owner. Inside a transaction.
Status assert_schema(Session& admin, const std::string& schema, const std::string& role);

}  // namespace raymesh::pg
