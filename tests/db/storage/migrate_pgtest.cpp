// Migrations against a real server: all or nothing, deadlines, warnings, what survives them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "libs/pg/project_identity.hpp"
#include "libs/pg/session.hpp"
#include "tests/db/storage/migrate_harness.hpp"

namespace raymesh::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

PostgresServer& server() {
  return PostgresServer::shared();
}

class MigrateTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { project_ = TestProject::create("mig"); }

  /// Tables and other relations of the project, sorted.
  static std::string relations() {
    return server()
        .query(
            "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class"
            " WHERE relnamespace = 'p_mig'::regnamespace AND relkind IN ('r', 'v', 'm', 'S')")
        .value_or("");
  }
  static int64_t epoch() {
    return std::stoll(
        *server().query("SELECT schema_epoch FROM raymesh_storage.projects"
                        " WHERE project_id = 'mig'"));
  }
  void TearDown() override {
    server().execute("DROP SCHEMA p_mig CASCADE; CREATE SCHEMA p_mig AUTHORIZATION raymesh_p_mig");
    // Nothing of a migration is left on the server when it has answered.
    EXPECT_EQ(server().query("SELECT count(*) FROM pg_stat_activity"
                             " WHERE usename = 'raymesh_p_mig' AND state <> 'idle'"
                             " AND query NOT LIKE '%pg_terminate_backend%'"),
              "0");
  }

  static inline TestProject project_;
};

TEST_F(MigrateTest, RunsStatementsInOrderAndRaisesTheEpoch) {
  const int64_t before = epoch();
  const auto outcome = migrate(project_,
                               "CREATE TABLE users (id serial PRIMARY KEY, name text);\n"
                               "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\n"
                               "BEGIN RETURN (SELECT count(*) FROM users); END $$;\n"
                               "INSERT INTO users (name) VALUES ('a;b') RETURNING *;\n"
                               "SELECT * FROM users; -- done;");
  ASSERT_TRUE(outcome.ok()) << outcome_text(outcome);
  EXPECT_EQ(outcome->executed_statements, 4u);
  EXPECT_EQ(outcome->schema_epoch, before + 1);
  EXPECT_EQ(epoch(), before + 1);
  EXPECT_EQ(server().query("SELECT name FROM p_mig.users"), "a;b");
}

TEST_F(MigrateTest, CollectsNoticesAndWarnings) {
  const auto outcome = migrate(project_,
                               "CREATE TABLE IF NOT EXISTS a (id int);"
                               "CREATE TABLE IF NOT EXISTS a (id int);"
                               "DO $$ BEGIN RAISE WARNING 'careful %', 1; RAISE INFO 'no';"
                               " RAISE DEBUG 'no'; END $$");
  ASSERT_TRUE(outcome.ok());
  EXPECT_THAT(outcome->warnings,
              ElementsAre("relation \"a\" already exists, skipping", "careful 1"));
}

TEST_F(MigrateTest, BoundsWarnings) {
  const auto outcome = migrate(project_,
                               "DO $$ BEGIN FOR i IN 1..150 LOOP"
                               " RAISE NOTICE '%', repeat('é', 100000); END LOOP; END $$");
  ASSERT_TRUE(outcome.ok());
  ASSERT_EQ(outcome->warnings.size(), 101u);
  EXPECT_EQ(outcome->warnings.back(), "and 50 more");
  EXPECT_LE(outcome->warnings.front().size(), 1024u);
}

TEST_F(MigrateTest, FailureLeavesNothingAndNamesThePlace) {
  const int64_t before = epoch();
  const auto outcome = migrate(project_,
                               "CREATE TABLE a (id int);\n"
                               "INSERT INTO a VALUES (1);\n"
                               "CREATE TABLE b (\n  id int,\n  x nonsense);\n"
                               "CREATE TABLE c (id int)");
  EXPECT_EQ(outcome_text(outcome),
            "migration_failed: statement 3, line 5: type \"nonsense\" does not exist");
  EXPECT_EQ(outcome.error().http_status(), 400);
  EXPECT_EQ(relations(), "");
  EXPECT_EQ(epoch(), before);
}

TEST_F(MigrateTest, WhatTheServerCannotDoIsNotTheMigrationsFault) {
  for (const char* condition : {"disk_full", "out_of_memory", "io_error", "admin_shutdown"}) {
    const auto outcome =
        migrate(project_,
                "CREATE TABLE a (id int); DO $$ BEGIN RAISE EXCEPTION 'no room' USING"
                " ERRCODE = '" +
                    std::string(condition) + "'; END $$");
    EXPECT_EQ(outcome_text(outcome), "unavailable: statement 2, line 1: no room") << condition;
    EXPECT_EQ(relations(), "") << condition;
  }
}

TEST_F(MigrateTest, ForbiddenStatementsRunNothingAtAll) {
  for (const char* sql : {"CREATE TABLE a (id int); COMMIT; SELECT nonsense",
                          "CREATE TABLE a (id int); ROLLBACK; CREATE TABLE b (id int)",
                          "CREATE TABLE a (id int); COPY a FROM PROGRAM 'id'",
                          "CREATE TABLE a (id int); CREATE INDEX CONCURRENTLY ON a (id)"}) {
    const auto outcome = migrate(project_, sql);
    EXPECT_THAT(outcome_text(outcome), StartsWith("forbidden_statement: statement 2, line 1: "));
    EXPECT_EQ(relations(), "") << sql;
  }
}

TEST_F(MigrateTest, TransactionControlInsideCodeIsRefusedByTheServer) {
  for (const char* sql : {"CREATE TABLE a (id int); DO $$ BEGIN COMMIT; END $$",
                          "CREATE TABLE a (id int); DO $$ BEGIN ROLLBACK; END $$",
                          "CREATE TABLE a (id int); DO $$ BEGIN EXECUTE 'COMMIT'; END $$",
                          "CREATE TABLE a (id int); CREATE PROCEDURE p() LANGUAGE plpgsql AS"
                          " $$ BEGIN COMMIT; END $$; CALL p()"}) {
    const auto outcome = migrate(project_, sql);
    EXPECT_THAT(outcome_text(outcome), StartsWith("migration_failed: ")) << sql;
    EXPECT_EQ(relations(), "") << sql;
  }
}

TEST_F(MigrateTest, DeferredConstraintsFailBeforeTheCommit) {
  const auto outcome = migrate(project_,
                               "CREATE TABLE a (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);"
                               "INSERT INTO a VALUES (1); INSERT INTO a VALUES (1)");
  EXPECT_THAT(outcome_text(outcome), StartsWith("migration_failed: deferred constraints: "));
  EXPECT_EQ(relations(), "");
}

TEST_F(MigrateTest, TakesWhatPgDumpWrites) {
  const auto outcome =
      migrate(project_,
              "SET statement_timeout = 0;\nSET lock_timeout = 0;\n"
              "SET idle_in_transaction_session_timeout = 0;\nSET client_encoding = 'UTF8';\n"
              "SET standard_conforming_strings = on;\n"
              "SELECT pg_catalog.set_config('search_path', '', false);\n"
              "SET check_function_bodies = false;\nSET xmloption = content;\n"
              "SET client_min_messages = warning;\nSET row_security = off;\n"
              "SET default_tablespace = '';\nSET default_table_access_method = heap;\n"
              "CREATE TABLE p_mig.users (id integer NOT NULL, email text);\n"
              "CREATE SEQUENCE p_mig.users_id_seq AS integer OWNED BY p_mig.users.id;\n"
              "ALTER TABLE ONLY p_mig.users ALTER COLUMN id SET DEFAULT"
              " nextval('p_mig.users_id_seq'::regclass);\n"
              "INSERT INTO p_mig.users VALUES (1, 'a@b');\n"
              "SELECT pg_catalog.setval('p_mig.users_id_seq', 1, true);\n"
              "ALTER TABLE ONLY p_mig.users ADD CONSTRAINT users_pkey PRIMARY KEY (id);\n");
  ASSERT_TRUE(outcome.ok()) << outcome_text(outcome);
  EXPECT_EQ(outcome->executed_statements, 18u);
  EXPECT_EQ(relations(), "users users_id_seq");
}

TEST_F(MigrateTest, ExtensionsOfTheAdministratorPass) {
  server().execute("CREATE EXTENSION IF NOT EXISTS pgcrypto");
  const auto outcome = migrate(project_, "CREATE EXTENSION IF NOT EXISTS pgcrypto");
  ASSERT_TRUE(outcome.ok()) << outcome_text(outcome);
  EXPECT_THAT(outcome->warnings, ElementsAre("extension \"pgcrypto\" already exists, skipping"));
  EXPECT_THAT(outcome_text(migrate(project_, "CREATE EXTENSION IF NOT EXISTS hstore")),
              StartsWith("migration_failed: "));
}

TEST_F(MigrateTest, EmptyScripts) {
  EXPECT_THAT(outcome_text(migrate(project_, "")), StartsWith("sql_required"));
  const auto outcome = migrate(project_, " ; -- nothing\n;");
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->executed_statements, 0u);
}

TEST_F(MigrateTest, Bounds) {
  storage::MigrateOptions options;
  options.max_sql_bytes = 20;
  EXPECT_THAT(outcome_text(migrate(project_, "SELECT 'aaaaaaaaaaaaaaaaaaaaaa'", options)),
              StartsWith("body_too_large"));
  options = {};
  options.max_statements = 2;
  EXPECT_THAT(outcome_text(migrate(project_, "SELECT 1; SELECT 2; SELECT 3", options)),
              StartsWith("invalid_request"));
}

TEST_F(MigrateTest, DeadlineHoldsAlsoAgainstAScriptThatSwitchesItOff) {
  storage::MigrateOptions options;
  options.deadline = 300ms;
  for (const char* sql : {"CREATE TABLE a (id int); SELECT pg_sleep(60)",
                          "CREATE TABLE a (id int); SET statement_timeout = 0; SELECT pg_sleep(60)",
                          "CREATE TABLE a (id int); SET statement_timeout = 0;"
                          "SELECT generate_series(1, 1000000000000)",
                          "CREATE TABLE a (id int); DO $$ BEGIN"
                          " PERFORM set_config('statement_timeout', '0', false); LOOP END LOOP;"
                          " END $$; SELECT 1; DO $$ BEGIN LOOP END LOOP; END $$"}) {
    const auto start = std::chrono::steady_clock::now();
    const auto outcome = migrate(project_, sql, options);
    EXPECT_THAT(outcome_text(outcome), StartsWith("statement_timeout: ")) << sql;
    EXPECT_LT(std::chrono::steady_clock::now() - start, 10s) << sql;
    EXPECT_EQ(relations(), "") << sql;
  }
}

TEST_F(MigrateTest, DeadlineHoldsWhenTheRoleHasNoConnectionLeft) {
  server().execute("ALTER ROLE raymesh_p_mig CONNECTION LIMIT 1");
  storage::MigrateOptions options;
  options.deadline = 300ms;
  const auto outcome = migrate(
      project_, "SET statement_timeout = 0; CREATE TABLE a (id int); SELECT pg_sleep(60)", options);
  server().execute("ALTER ROLE raymesh_p_mig CONNECTION LIMIT 64");
  EXPECT_THAT(outcome_text(outcome), StartsWith("statement_timeout: "));
  // The server finds out by itself that nobody is there any more.
  const auto is_running = [] {
    return server().query(
               "SELECT count(*) FROM pg_stat_activity"
               " WHERE usename = 'raymesh_p_mig'") != "0";
  };
  const auto until = std::chrono::steady_clock::now() + 30s;
  while (is_running() && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_FALSE(is_running());
  EXPECT_EQ(relations(), "");
}

TEST_F(MigrateTest, WaitsForLocksOnlySoLong) {
  must_migrate(project_, "CREATE TABLE a (id int)");
  auto other = pg::Session::connect(server().admin_url());
  ASSERT_TRUE(other.ok());
  ASSERT_TRUE(other->script("BEGIN; LOCK TABLE p_mig.a").ok());
  storage::MigrateOptions options;
  options.lock_timeout = 100ms;
  EXPECT_THAT(outcome_text(migrate(project_, "ALTER TABLE a ADD COLUMN b int", options)),
              HasSubstr("lock timeout"));
}

TEST_F(MigrateTest, RestoresTheRole) {
  const auto outcome =
      migrate(project_,
              "DO $$ BEGIN"
              " EXECUTE 'ALTER ROLE CURRENT_USER PASSWORD ''mine''';"
              " EXECUTE 'ALTER ROLE CURRENT_USER SET work_mem = ''1GB''';"
              " EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET role = ''x''',"
              "   current_database()); END $$");
  ASSERT_TRUE(outcome.ok()) << outcome_text(outcome);
  EXPECT_EQ(server().query("SELECT count(*) FROM pg_db_role_setting s JOIN pg_roles r"
                           " ON r.oid = s.setrole WHERE r.rolname = 'raymesh_p_mig'"),
            "0");
  EXPECT_EQ(outcome_text(migrate(project_, "SELECT 1")), "ok");  // the password is the old one
}

TEST_F(MigrateTest, RestoresTheRoleAfterADeferredTrigger) {
  const auto outcome =
      migrate(project_,
              "CREATE TABLE a (id int);"
              "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
              " EXECUTE 'ALTER ROLE CURRENT_USER PASSWORD ''mine'''; RETURN NULL; END $$;"
              "CREATE CONSTRAINT TRIGGER g AFTER INSERT ON a DEFERRABLE INITIALLY DEFERRED"
              " FOR EACH ROW EXECUTE FUNCTION f();"
              "INSERT INTO a VALUES (1)");
  ASSERT_TRUE(outcome.ok()) << outcome_text(outcome);
  EXPECT_EQ(outcome_text(migrate(project_, "SELECT 1")), "ok");
}

TEST_F(MigrateTest, KeepsTheSchema) {
  for (const char* sql : {"DO $$ BEGIN EXECUTE 'DROP SCHEMA p_mig CASCADE'; END $$",
                          "DO $$ BEGIN EXECUTE 'ALTER SCHEMA p_mig RENAME TO p_other'; END $$"}) {
    EXPECT_FALSE(migrate(project_, sql).ok());
    EXPECT_EQ(server().query("SELECT count(*) FROM pg_namespace WHERE nspname = 'p_mig'"), "1");
  }
}

TEST_F(MigrateTest, OneMigrationOfAProjectAtATime) {
  must_migrate(project_, "CREATE TABLE log (n int)");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      must_migrate(project_,
                   "INSERT INTO log SELECT count(*) FROM log; SELECT pg_sleep(0.02);"
                   "INSERT INTO log SELECT count(*) FROM log");
    });
  }
  for (std::thread& t : threads) t.join();
  // Had two of them overlapped, both would have counted the same rows.
  EXPECT_EQ(server().query("SELECT string_agg(n::text, ' ' ORDER BY n) FROM p_mig.log"),
            "0 1 2 3 4 5 6 7");
}

TEST_F(MigrateTest, LosingTheConnectionBeforeTheCommitChangesNothing) {
  const auto outcome =
      migrate(project_, "CREATE TABLE a (id int); SELECT pg_terminate_backend(pg_backend_pid())");
  EXPECT_THAT(outcome_text(outcome), StartsWith("unavailable: "));
  EXPECT_EQ(relations(), "");
}

TEST_F(MigrateTest, UnavailableServer) {
  storage::MigrateRequest request = migrate_request(project_);
  request.server_url = "host=/nonexistent dbname=postgres";
  EXPECT_THAT(outcome_text(storage::migrate(request, "SELECT 1")), StartsWith("unavailable: "));
  request = migrate_request(project_);
  request.password = "wrong";
  EXPECT_THAT(outcome_text(storage::migrate(request, "SELECT 1")), StartsWith("unavailable: "));
}

TEST_F(MigrateTest, AsksWhatBecameOfACommitWhoseAnswerIsMissing) {
  must_migrate(project_, "CREATE TABLE a (id int)");
  const auto set_standby = [](const std::string& names) {
    server().execute("ALTER SYSTEM SET synchronous_standby_names = '" + names + "'");
    server().execute("SELECT pg_reload_conf()");
  };
  // Commits of the project wait for a standby that never answers, and so does the first answer.
  server().execute(
      "ALTER ROLE raymesh_storage SET synchronous_commit = local;"
      "ALTER ROLE postgres SET synchronous_commit = local");
  set_standby("nobody");
  storage::MigrateOptions options;
  options.deadline = 500ms;
  options.grace = 500ms;
  const auto outcome = migrate(project_, "CREATE TABLE b (id int)", options);
  set_standby("");
  server().execute(
      "ALTER ROLE raymesh_storage RESET synchronous_commit;"
      "ALTER ROLE postgres RESET synchronous_commit");
  EXPECT_EQ(outcome_text(outcome), "ok");
  EXPECT_EQ(relations(), "a b");
}

}  // namespace
}  // namespace raymesh::testing
