#include "tests/db/auth/auth_fixture.hpp"

namespace raymesh::auth {
namespace {

// The service's login may do what its own tables need, and nothing else in the server.
TEST(SchemaTest, TheServicesRoleIsNobodySpecial) {
  auto& server = migrated_server();
  EXPECT_EQ(server.query("SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR "
                         "rolreplication FROM pg_roles WHERE rolname = 'raymesh_auth'"),
            "f");
  EXPECT_EQ(server.query("SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = "
                         "m.member WHERE r.rolname = 'raymesh_auth'"),
            "0");
  server.execute("CREATE SCHEMA IF NOT EXISTS somebody; CREATE TABLE IF NOT EXISTS somebody.t ()");
  auto session = pg::Session::connect(auth_url()).value();
  EXPECT_EQ(session.query("SELECT * FROM somebody.t").sqlstate(), "42501");
  EXPECT_EQ(session.query("SET ROLE postgres").sqlstate(), "42501");
  EXPECT_EQ(session.query("SELECT pg_read_file('/etc/passwd')").sqlstate(), "42501");
  EXPECT_EQ(session.query("COPY raymesh_auth.projects TO PROGRAM 'cat'").sqlstate(), "42501");
}

TEST(SchemaTest, OthersCannotLookIn) {
  auto& server = migrated_server();
  server.execute(
      "DO $$BEGIN CREATE ROLE stranger LOGIN PASSWORD 'x'; EXCEPTION WHEN duplicate_object THEN "
      "END$$");
  auto session = pg::Session::connect(server.url("stranger", "x")).value();
  for (const char* table : {"projects", "api_keys", "users", "sessions"})
    EXPECT_EQ(session.query(std::string("SELECT * FROM raymesh_auth.") + table).sqlstate(),
              "42501");
}

TEST(SchemaTest, MigratingAgainChangesNothing) {
  migrate(migrated_server());
}

}  // namespace
}  // namespace raymesh::auth
