#include "libs/pg/role_admin.hpp"

namespace raymesh::pg {
namespace {

// Any constant that nobody else in the database uses: the letters "raymesh".
constexpr const char* kLock = "SELECT pg_advisory_xact_lock(x'7261796d657368'::bigint)";

constexpr const char* kFindRole =
    "SELECT rolsuper OR rolreplication OR rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = $1";

constexpr const char* kMemberships =
    "SELECT r.rolname FROM pg_catalog.pg_auth_members m"
    " JOIN pg_catalog.pg_roles r ON r.oid = m.roleid"
    " JOIN pg_catalog.pg_roles u ON u.oid = m.member WHERE u.rolname = $1";

constexpr const char* kFindSchema =
    "SELECT r.rolname FROM pg_catalog.pg_namespace n"
    " JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner WHERE n.nspname = $1";

Status run(Session& admin, const std::string& sql, std::string_view what) {
  return admin.query(sql).status(errors::kInternal, what);
}

Status drop_memberships_and_settings(Session& admin, const std::string& role) {
  Answer found = admin.query(kMemberships, {role});
  RAYMESH_CHECK_OK(found.status(errors::kInternal, "read memberships of " + role));
  const std::string name = admin.identifier(role);
  for (int row = 0; row < found.rows(); ++row) {
    RAYMESH_CHECK_OK(run(admin, "REVOKE " + admin.identifier(found.text(row, 0)) + " FROM " + name,
                         "revoke a role from " + role));
  }
  RAYMESH_CHECK_OK(run(admin, "ALTER ROLE " + name + " RESET ALL", "reset settings of " + role));
  Answer database = admin.query("SELECT current_database()");
  RAYMESH_CHECK_OK(database.status(errors::kInternal, "read the database's name"));
  return run(
      admin,
      "ALTER ROLE " + name + " IN DATABASE " + admin.identifier(database.text(0, 0)) + " RESET ALL",
      "reset settings of " + role);
}

}  // namespace

Status begin_admin_transaction(Session& admin) {
  RAYMESH_CHECK_OK(run(admin, "BEGIN", "begin"));
  RAYMESH_CHECK_OK(run(admin, "SET LOCAL search_path = pg_catalog", "set search_path"));
  return run(admin, kLock, "take the administration lock");
}

Status assert_role(Session& admin, const RoleSpec& spec) {
  RAYMESH_TRY(const std::string verifier, admin.scram_verifier(spec.name, spec.password));
  Answer found = admin.query(kFindRole, {spec.name});
  RAYMESH_CHECK_OK(found.status(errors::kInternal, "look for role " + spec.name));
  const bool exists = found.rows() > 0;
  // Only a superuser may name these attributes in ALTER ROLE, so name them only when they are
  // wrong.
  const bool is_too_powerful = exists && found.text(0, 0) == "t";

  const std::string name = admin.identifier(spec.name);
  std::string sql =
      (exists ? "ALTER ROLE " : "CREATE ROLE ") + name + " LOGIN NOCREATEDB NOCREATEROLE NOINHERIT";
  if (is_too_powerful) sql += " NOSUPERUSER NOREPLICATION NOBYPASSRLS";
  sql += " CONNECTION LIMIT " + std::to_string(spec.connection_limit) + " PASSWORD " +
         admin.literal(verifier) + " VALID UNTIL 'infinity'";
  RAYMESH_CHECK_OK(run(admin, sql, (exists ? "alter role " : "create role ") + spec.name));
  if (exists && spec.strict) {
    RAYMESH_CHECK_OK(drop_memberships_and_settings(admin, spec.name));
  }
  if (!admin.is_superuser()) {
    RAYMESH_CHECK_OK(run(admin, "GRANT " + name + " TO CURRENT_USER",
                         "let the admin act for role " + spec.name));
  }
  return ok_status();
}

Status assert_schema(Session& admin, const std::string& schema, const std::string& role) {
  Answer found = admin.query(kFindSchema, {schema});
  RAYMESH_CHECK_OK(found.status(errors::kInternal, "look for schema " + schema));
  const std::string name = admin.identifier(schema);
  if (found.rows() == 0) {
    return run(admin, "CREATE SCHEMA " + name + " AUTHORIZATION " + admin.identifier(role),
               "create schema " + schema);
  }
  if (found.text(0, 0) == role) return ok_status();
  return run(admin, "ALTER SCHEMA " + name + " OWNER TO " + admin.identifier(role),
             "change the owner of schema " + schema);
}

}  // namespace raymesh::pg
