// System migrations and the provisioning of projects, on databases of their own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "libs/pg/project_identity.hpp"
#include "libs/pg/provisioner.hpp"
#include "libs/pg/session.hpp"
#include "libs/pg/system_migrator.hpp"
#include "tests/support/postgres_fixture.hpp"

namespace raymesh::pg {
namespace {

using ::testing::HasSubstr;
using testing::PostgresServer;

constexpr const char* kSecret = "thirty-two bytes of test secret!";

PostgresServer& server() {
  return PostgresServer::shared();
}

class AdminTest : public ::testing::Test {
 protected:
  void SetUp() override {
    static int made = 0;
    database_ = "admin" + std::to_string(++made);
    server().execute("CREATE DATABASE " + database_);
  }

  std::string admin_url() const { return server().admin_url(database_); }
  void execute(const std::string& sql) const { server().execute(sql, database_); }
  std::string query(const std::string& sql) const {
    return server().query(sql, database_).value_or("NULL");
  }
  Result<Session> login(const std::string& role, const std::string& password) const {
    return Session::connect(server().url(role, password, database_));
  }
  Result<Session> login(const ProjectIdentity& project) const {
    return login(project.role, project.password);
  }

  SystemSchema storage() const {
    return {"raymesh_storage",
            "first",
            {{1, "projects",
              "CREATE TABLE projects (project_id text PRIMARY KEY, schema_epoch bigint NOT NULL"
              " DEFAULT 1); CREATE TABLE extra (a int);"}}};
  }
  /// The versions that ran now, or the error's code.
  std::string migrate(const std::vector<SystemSchema>& schemas) const {
    const auto applied = run_system_migrations(admin_url(), schemas);
    if (!applied.ok()) return std::string(applied.error().code());
    std::string out;
    for (const AppliedMigration& m : *applied) {
      out += (out.empty() ? "" : " ") + m.schema + ":" + std::to_string(m.version);
    }
    return out;
  }
  void provision(const std::string& id) const {
    const Status status = provision_project(admin_url(), id, kSecret);
    ASSERT_TRUE(status.ok()) << status.error().message;
  }

  std::string database_;
};

class SystemMigratorTest : public AdminTest {};

TEST_F(SystemMigratorTest, AppliesWhatIsNewOnce) {
  SystemSchema schema = storage();
  EXPECT_EQ(migrate({schema}), "raymesh_storage:1");
  EXPECT_EQ(migrate({schema}), "");
  schema.migrations.push_back({2, "more", "ALTER TABLE extra ADD COLUMN b int"});
  schema.migrations.push_back({3, "even more", "INSERT INTO extra VALUES (1, 2)"});
  EXPECT_EQ(migrate({schema, {"raymesh_auth", "pw", {{1, "x", "CREATE TABLE x (a int)"}}}}),
            "raymesh_storage:2 raymesh_storage:3 raymesh_auth:1");
  EXPECT_EQ(query("SELECT a + b FROM raymesh_storage.extra"), "3");
  EXPECT_EQ(query("SELECT string_agg(version || name, ',' ORDER BY version)"
                  " FROM raymesh_storage.schema_migrations"),
            "1projects,2more,3even more");
}

TEST_F(SystemMigratorTest, RefusesADatabaseThatIsNewer) {
  SystemSchema schema = storage();
  schema.migrations.push_back({2, "more", "SELECT 1"});
  EXPECT_EQ(migrate({schema}), "raymesh_storage:1 raymesh_storage:2");
  const auto old = run_system_migrations(admin_url(), {storage()});
  ASSERT_FALSE(old.ok());
  EXPECT_EQ(old.error().code(), "schema_newer");
  EXPECT_THAT(old.error().message, HasSubstr("is at version 2"));
}

TEST_F(SystemMigratorTest, RefusesAMigrationThatWasChanged) {
  SystemSchema schema = storage();
  EXPECT_EQ(migrate({schema}), "raymesh_storage:1");
  schema.migrations[0].sql += " ";
  EXPECT_EQ(migrate({schema}), "schema_changed");
}

TEST_F(SystemMigratorTest, RefusesGaps) {
  SystemSchema schema = storage();
  schema.migrations.push_back({3, "gap", "SELECT 1"});
  EXPECT_EQ(migrate({schema}), "internal");
}

TEST_F(SystemMigratorTest, AFailedMigrationLeavesTheSchemaAsItWas) {
  SystemSchema schema = storage();
  EXPECT_EQ(migrate({schema}), "raymesh_storage:1");
  schema.migrations.push_back({2, "good", "CREATE TABLE good (a int)"});
  schema.migrations.push_back({3, "bad", "CREATE TABLE half (a int); SELECT nonsense"});
  const auto failed = run_system_migrations(admin_url(), {schema});
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(failed.error().message, HasSubstr("migration 3 (bad)"));
  EXPECT_THAT(failed.error().message, HasSubstr("nonsense"));
  EXPECT_EQ(query("SELECT to_regclass('raymesh_storage.good')"), "NULL");
  EXPECT_EQ(query("SELECT max(version) FROM raymesh_storage.schema_migrations"), "1");
}

TEST_F(SystemMigratorTest, ManyAtOnceApplyOnce) {
  std::vector<std::thread> threads;
  std::vector<std::string> results(6);
  for (std::string& result : results) {
    threads.emplace_back([&] { result = migrate({storage()}); });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(std::count(results.begin(), results.end(), "raymesh_storage:1"), 1);
  EXPECT_EQ(std::count(results.begin(), results.end(), ""), 5);
}

TEST_F(SystemMigratorTest, TheRoleOwnsItsSchemaAndNothingElse) {
  ASSERT_EQ(
      migrate({storage(), {"raymesh_auth", "pw", {{1, "keys", "CREATE TABLE keys (a int)"}}}}),
      "raymesh_storage:1 raymesh_auth:1");
  auto session = login("raymesh_storage", "first");
  ASSERT_TRUE(session.ok()) << session.error().message;
  EXPECT_TRUE(session->query("INSERT INTO raymesh_storage.projects VALUES ('a')").ok());
  for (const char* sql : {"SELECT * FROM raymesh_auth.keys", "CREATE SCHEMA x", "CREATE ROLE x",
                          "SET ROLE raymesh_auth"}) {
    EXPECT_EQ(session->query(sql).sqlstate(), "42501") << sql;
  }
}

TEST_F(SystemMigratorTest, SetsThePasswordAgain) {
  SystemSchema schema = storage();
  ASSERT_EQ(migrate({schema}), "raymesh_storage:1");
  schema.password = "second";
  ASSERT_EQ(migrate({schema}), "");
  EXPECT_FALSE(login("raymesh_storage", "first").ok());
  EXPECT_TRUE(login("raymesh_storage", "second").ok());
}

TEST_F(SystemMigratorTest, TakesPowersFromARoleThatHasThem) {
  ASSERT_EQ(migrate({storage()}), "raymesh_storage:1");
  execute("ALTER ROLE raymesh_storage SUPERUSER CREATEROLE CREATEDB NOLOGIN");
  ASSERT_EQ(migrate({storage()}), "");
  EXPECT_EQ(query("SELECT rolcanlogin AND NOT (rolsuper OR rolcreaterole OR rolcreatedb)"
                  " FROM pg_roles WHERE rolname = 'raymesh_storage'"),
            "t");
}

TEST_F(SystemMigratorTest, SaysThatItCannotConnect) {
  const auto result = run_system_migrations("host=/nonexistent", {storage()});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), "unavailable");
}

TEST_F(SystemMigratorTest, AndProvisioningWorkWithoutASuperuser) {
  execute(
      "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'owner') THEN"
      " CREATE ROLE owner LOGIN CREATEROLE PASSWORD 'pw'; END IF; END $$;"
      "DROP ROLE IF EXISTS raymesh_p_plain");
  server().execute("ALTER DATABASE " + database_ + " OWNER TO owner");
  const std::string url = server().url("owner", "pw", database_);
  const auto applied = run_system_migrations(url, {storage()});
  ASSERT_TRUE(applied.ok()) << applied.error().message;
  for (int times = 0; times < 2; ++times) {
    const Status status = provision_project(url, "plain", kSecret);
    ASSERT_TRUE(status.ok()) << status.error().message;
  }
  auto session = login(*project_identity("plain", kSecret));
  ASSERT_TRUE(session.ok()) << session.error().message;
  EXPECT_TRUE(session->query("CREATE TABLE p_plain.t (a int)").ok());
  EXPECT_EQ(session->query("CREATE TABLE public.t (a int)").sqlstate(), "42501");
}

class ProvisionerTest : public AdminTest {
 protected:
  void SetUp() override {
    AdminTest::SetUp();
    ASSERT_EQ(migrate({storage()}), "raymesh_storage:1");
  }
};

TEST_F(ProvisionerTest, MakesARoleThatOwnsOneSchema) {
  provision("shop");
  const auto project = project_identity("shop", kSecret);
  auto session = login(*project);
  ASSERT_TRUE(session.ok()) << session.error().message;
  EXPECT_TRUE(session->query("CREATE TABLE p_shop.t (id int)").ok());
  EXPECT_EQ(query("SELECT rolcanlogin AND rolconnlimit = 64 AND NOT (rolsuper OR rolinherit OR"
                  " rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)"
                  " FROM pg_roles WHERE rolname = 'raymesh_p_shop'"),
            "t");
  EXPECT_EQ(query("SELECT count(*) FROM raymesh_storage.projects WHERE project_id = 'shop'"), "1");
}

TEST_F(ProvisionerTest, ASecondRunChangesNothingButWhatWentWrong) {
  provision("again");
  const ProjectIdentity project = *project_identity("again", kSecret);
  execute("CREATE TABLE p_again.kept (id int)");
  execute("UPDATE raymesh_storage.projects SET schema_epoch = 9 WHERE project_id = 'again'");
  execute(
      "ALTER ROLE raymesh_p_again SUPERUSER CREATEROLE INHERIT NOLOGIN CONNECTION LIMIT 1"
      " PASSWORD 'other' VALID UNTIL '2000-01-01'; ALTER ROLE raymesh_p_again SET role = x;"
      "GRANT raymesh_storage TO raymesh_p_again; ALTER SCHEMA p_again OWNER TO postgres;"
      "GRANT ALL ON SCHEMA p_again TO PUBLIC");
  EXPECT_FALSE(login(project).ok());
  provision("again");
  auto session = login(project);
  ASSERT_TRUE(session.ok()) << session.error().message;
  EXPECT_TRUE(session->query("CREATE TABLE p_again.t (id int)").ok());
  EXPECT_EQ(session->query("SELECT * FROM raymesh_storage.projects").sqlstate(), "42501");
  EXPECT_EQ(query("SELECT rolconnlimit = 64 AND NOT (rolsuper OR rolinherit OR rolcreaterole)"
                  " AND rolconfig IS NULL FROM pg_roles WHERE rolname = 'raymesh_p_again'"),
            "t");
  EXPECT_EQ(query("SELECT schema_epoch FROM raymesh_storage.projects WHERE project_id = 'again'"),
            "9");
  EXPECT_EQ(query("SELECT count(*) FROM p_again.kept"), "0");
  EXPECT_EQ(query("SELECT count(*) FROM pg_namespace, aclexplode(nspacl) a"
                  " WHERE nspname = 'p_again' AND a.grantee = 0"),
            "0");
}

TEST_F(ProvisionerTest, ProjectsDoNotSeeEachOther) {
  provision("one");
  provision("two-2_x");
  auto one = login(*project_identity("one", kSecret));
  auto two = login(*project_identity("two-2_x", kSecret));
  ASSERT_TRUE(one.ok() && two.ok());
  ASSERT_TRUE(one->query("CREATE TABLE p_one.t (id int)").ok());
  for (const char* sql : {"SELECT * FROM p_one.t", "CREATE TABLE p_one.u (id int)",
                          "DROP SCHEMA p_one CASCADE", "SET ROLE raymesh_p_one"}) {
    EXPECT_EQ(two->query(sql).sqlstate(), "42501") << sql;
  }
  EXPECT_FALSE(login("raymesh_p_one", project_identity("two-2_x", kSecret)->password).ok());
}

TEST_F(ProvisionerTest, TakesFromPublicWhatReachesPastASchema) {
  provision("bounded");
  auto session = login(*project_identity("bounded", kSecret));
  ASSERT_TRUE(session.ok());
  for (const char* sql :
       {"CREATE TEMP TABLE t (id int)", "CREATE TABLE public.t (id int)",
        "SELECT pg_advisory_lock(1)", "SELECT pg_try_advisory_lock(1, 2)",
        "SELECT pg_advisory_unlock_all()", "SELECT lo_create(0)", "SELECT lo_get(1)",
        "SELECT lowrite(1, 'x')", "SELECT pg_notify('a', 'b')",
        "SELECT pg_logical_emit_message(true, 'a', 'b')", "SELECT pg_read_file('x')"}) {
    EXPECT_EQ(session->query(sql).sqlstate(), "42501") << sql;
  }
  // And what it needs is left.
  EXPECT_TRUE(session->query("SELECT gen_random_uuid(), now(), md5('x'), pg_sleep(0)").ok());
}

TEST_F(ProvisionerTest, ManyAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([this, i] { provision("p" + std::to_string(i % 3)); });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(query("SELECT count(*) FROM raymesh_storage.projects"), "3");
}

TEST_F(ProvisionerTest, RefusesBadIds) {
  for (const char* id : {"", "A", "1a", "-a", "a b", "a\"b", "a.b", "a'; DROP ROLE x", "é"}) {
    const Status status = provision_project(admin_url(), id, kSecret);
    ASSERT_FALSE(status.ok()) << id;
    EXPECT_EQ(status.error().code(), "invalid_request") << id;
  }
  EXPECT_FALSE(is_valid_project_id(std::string(40, 'a')));
  EXPECT_TRUE(is_valid_project_id(std::string(39, 'a')));
}

TEST(ProjectIdentityTest, IsDerivedFromTheIdAndTheSecret) {
  const auto a = project_identity("shop", "s1");
  EXPECT_EQ(a->role, "raymesh_p_shop");
  EXPECT_EQ(a->schema, "p_shop");
  EXPECT_EQ(a->password.size(), 64u);
  EXPECT_NE(a->password, project_identity("shop", "s2")->password);
  EXPECT_NE(a->password, project_identity("shoq", "s1")->password);
  EXPECT_EQ(a->password, project_identity("shop", "s1")->password);
}

TEST(SessionTest, ThePasswordNeverTravelsInAStatement) {
  auto session = Session::connect(server().admin_url());
  ASSERT_TRUE(session.ok());
  const auto verifier = session->scram_verifier("role", "hunter2");
  ASSERT_TRUE(verifier.ok());
  EXPECT_TRUE(verifier->starts_with("SCRAM-SHA-256$"));
  EXPECT_EQ(verifier->find("hunter2"), std::string::npos);
}

TEST(SessionTest, RunsOneStatementAndThrowsRowsAway) {
  auto session = Session::connect(server().admin_url());
  ASSERT_TRUE(session.ok());
  const auto soon = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  EXPECT_TRUE(session->run_until(soon, "SELECT generate_series(1, 100000)").ok());
  EXPECT_EQ(session->run_until(soon, "SELECT 1; SELECT 2").sqlstate(), "42601");
  EXPECT_FALSE(session->run_until(soon, "COPY (SELECT 1) TO STDOUT").ok());
  auto other = Session::connect(server().admin_url());
  const auto now = std::chrono::steady_clock::now();
  const Answer late = other->run_until(now + std::chrono::milliseconds(50), "SELECT pg_sleep(60)");
  EXPECT_TRUE(late.timed_out());
  EXPECT_FALSE(other->is_ready());
}

}  // namespace
}  // namespace raymesh::pg
