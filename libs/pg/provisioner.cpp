#include "libs/pg/provisioner.hpp"

#include "libs/pg/project_identity.hpp"
#include "libs/pg/role_admin.hpp"

namespace raymesh::pg {
namespace {

// What PostgreSQL gives to PUBLIC and a project must not have, because it reaches past the
// project's own schema:
// - schema public and temporary tables (they would outlive a request in a pooled session);
// - advisory locks (they would outlive a request too, and our migrations wait for one);
// - large objects (they belong to no schema);
// - pg_notify (one lock for all commits of the server), messages into the log of changes;
// - dblink, should an admin have installed it.
// Only what PUBLIC still has is revoked, so that a second run changes no catalog row. These apply
// to the whole database: raymesh wants one of its own.
constexpr const char* kRevokeFunctions = R"sql(
DO $do$
DECLARE f regprocedure;
BEGIN
  FOR f IN
    SELECT p.oid::regprocedure
    FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
    WHERE a.grantee = 0 AND a.privilege_type = 'EXECUTE'
      AND (p.pronamespace = 'pg_catalog'::regnamespace
             AND (p.proname ~ '^(pg_advisory_|pg_try_advisory_|lo_)'
                  OR p.proname IN ('loread', 'lowrite', 'pg_notify', 'pg_logical_emit_message'))
           OR EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                      WHERE d.objid = p.oid AND d.classid = 'pg_proc'::regclass
                        AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
                        AND e.extname IN ('dblink', 'postgres_fdw', 'file_fdw', 'adminpack')))
  LOOP
    EXECUTE format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', f);
  END LOOP;
END $do$)sql";

constexpr const char* kRevokeDatabase = R"sql(
DO $do$
BEGIN
  IF EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a
             WHERE n.nspname = 'public' AND a.grantee = 0) THEN
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
  END IF;
  IF EXISTS (SELECT FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
             WHERE d.datname = current_database() AND a.grantee = 0
               AND a.privilege_type = 'TEMPORARY') THEN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
  END IF;
END $do$)sql";

constexpr const char* kOwnsDatabase =
    "SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()";

Status revoke_from_public(Session& admin) {
  Answer owner = admin.query(kOwnsDatabase);
  RAYMESH_CHECK_OK(owner.status(errors::kInternal, "read the database's owner"));
  if (owner.text(0, 0) == "t") {
    RAYMESH_CHECK_OK(admin.query(kRevokeDatabase)
                         .status(errors::kInternal, "revoke the database's public privileges"));
  }
  // The functions belong to the server's first superuser; another login cannot take them away.
  if (admin.is_superuser()) {
    RAYMESH_CHECK_OK(
        admin.query(kRevokeFunctions).status(errors::kInternal, "revoke public functions"));
  }
  return ok_status();
}

Status provision(Session& admin, const ProjectIdentity& project, std::string_view project_id,
                 const ProvisionOptions& options) {
  RAYMESH_CHECK_OK(begin_admin_transaction(admin));
  RAYMESH_CHECK_OK(revoke_from_public(admin));
  RAYMESH_CHECK_OK(assert_role(admin, {.name = project.role,
                                       .password = project.password,
                                       .connection_limit = options.connection_limit,
                                       .strict = true}));
  RAYMESH_CHECK_OK(assert_schema(admin, project.schema, project.role));
  const std::string schema = admin.identifier(project.schema);
  RAYMESH_CHECK_OK(admin.query("REVOKE ALL ON SCHEMA " + schema + " FROM PUBLIC")
                       .status(errors::kInternal, "close schema " + project.schema));
  // As the owner of the table, so that an admin that is not a superuser can do it too.
  RAYMESH_CHECK_OK(admin.query("SET LOCAL ROLE raymesh_storage")
                       .status(errors::kInternal, "act as raymesh_storage"));
  RAYMESH_CHECK_OK(admin
                       .query("INSERT INTO raymesh_storage.projects (project_id) VALUES ($1)"
                              " ON CONFLICT DO NOTHING",
                              {std::string(project_id)})
                       .status(errors::kInternal, "register the project with storage"));
  return admin.query("COMMIT").status(errors::kInternal, "commit");
}

}  // namespace

Status provision_project(const std::string& admin_url, std::string_view project_id,
                         std::string_view secret, const ProvisionOptions& options) {
  RAYMESH_TRY(const ProjectIdentity project, project_identity(project_id, secret));
  RAYMESH_TRY(Session admin, Session::connect(admin_url));
  return provision(admin, project, project_id, options);
}

}  // namespace raymesh::pg
