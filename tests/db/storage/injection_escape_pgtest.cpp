// A project that tries to leave its schema: by migrations, and by code that the storage service's
// next statement fires. Each attempt must be refused or find nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/base/json_writer.hpp"
#include "tests/db/storage/migrate_harness.hpp"

namespace raymesh::testing {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

PostgresServer& server() {
  return PostgresServer::shared();
}

constexpr const char* kSecret = "the victim's secret";

class InjectionEscapeTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    server().execute("CREATE EXTENSION IF NOT EXISTS dblink");
    server().execute("CREATE EXTENSION IF NOT EXISTS postgres_fdw");
    victim_ = TestProject::create("victim");
    attacker_ = TestProject::create("attacker");
    victim_.execute(
        "CREATE TABLE secrets (id int PRIMARY KEY, secret text);"
        "INSERT INTO secrets VALUES (1, 'the victim''s secret');"
        "CREATE FUNCTION peek() RETURNS text LANGUAGE sql SECURITY DEFINER AS"
        " 'SELECT secret FROM p_victim.secrets'");
  }

  void SetUp() override {
    server().execute(
        "DROP SCHEMA p_attacker CASCADE;"
        "CREATE SCHEMA p_attacker AUTHORIZATION raymesh_p_attacker;"
        "UPDATE raymesh_storage.projects SET schema_epoch = schema_epoch + 1"
        " WHERE project_id = 'attacker'");
  }

  void TearDown() override {
    EXPECT_EQ(server().query("SELECT string_agg(id || ':' || secret, ',') FROM p_victim.secrets"),
              "1:" + std::string(kSecret));
    EXPECT_EQ(server().query("SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication"
                             " OR rolbypassrls OR rolinherit FROM pg_roles"
                             " WHERE rolname = 'raymesh_p_attacker'"),
              "f");
    EXPECT_EQ(server().query("SELECT count(*) FROM pg_auth_members m JOIN pg_roles r"
                             " ON r.oid = m.member WHERE r.rolname LIKE 'raymesh_p_%'"),
              "0");
    EXPECT_EQ(server().query("SELECT count(*) FROM raymesh_storage.projects"
                             " WHERE project_id = 'attacker'"),
              "1");
  }

  /// What a project must not do, as SQL that returns text or runs a command.
  static const std::vector<std::string>& attempts() {
    static const std::vector<std::string> list = {
        "SELECT secret FROM p_victim.secrets",
        "SELECT p_victim.peek()",
        "UPDATE p_victim.secrets SET secret = 'mine'",
        "DELETE FROM p_victim.secrets",
        "TRUNCATE p_victim.secrets",
        "INSERT INTO p_victim.secrets VALUES (2, 'mine')",
        "DROP TABLE p_victim.secrets",
        "ALTER TABLE p_victim.secrets ADD COLUMN mine int",
        "LOCK TABLE p_victim.secrets",
        "CREATE TABLE p_victim.mine (id int)",
        "CREATE INDEX ON p_victim.secrets (id)",
        "CREATE RULE r AS ON SELECT TO p_victim.secrets DO INSTEAD SELECT 1, ''",
        "GRANT raymesh_p_victim TO CURRENT_USER",
        "GRANT SELECT ON p_victim.secrets TO CURRENT_USER",
        "SELECT project_id FROM raymesh_storage.projects",
        "UPDATE raymesh_storage.projects SET schema_epoch = 0",
        "SELECT rolpassword FROM pg_authid",
        "SELECT passwd FROM pg_shadow",
        "SET ROLE raymesh_p_victim",
        "SET ROLE postgres",
        "SET ROLE raymesh_storage",
        "SET SESSION AUTHORIZATION postgres",
        "SELECT set_config('role', 'postgres', false)",
        "SELECT set_config('session_authorization', 'raymesh_p_victim', false)",
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "ALTER ROLE CURRENT_USER CREATEROLE",
        "ALTER ROLE CURRENT_USER CONNECTION LIMIT 1000",
        "ALTER ROLE raymesh_p_victim PASSWORD 'x'",
        "CREATE ROLE mine",
        "CREATE SCHEMA mine",
        "CREATE TABLE public.mine (id int)",
        "CREATE TEMP TABLE mine (id int)",
        "CREATE EXTENSION plperl",
        "CREATE EXTENSION dblink SCHEMA p_attacker",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_read_binary_file('/etc/passwd')",
        "SELECT pg_ls_dir('/')",
        "SELECT pg_stat_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY (SELECT 1) TO '/tmp/raymesh-escape'",
        "CREATE TABLE lines (line text); COPY lines FROM '/etc/passwd'",
        "CREATE TABLE lines2 (line text); COPY lines2 FROM PROGRAM 'id'",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT public.dblink_connect('dbname=postgres')",
        "SELECT * FROM public.dblink('dbname=postgres user=postgres', 'SELECT secret FROM "
        "p_victim.secrets') AS t (secret text)",
        "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw",
        "CREATE FUNCTION c() RETURNS int LANGUAGE c AS 'libc.so.6', 'getpid'",
        "CREATE FUNCTION n() RETURNS int LANGUAGE internal AS 'pg_read_file'",
        "LOAD '$libdir/dblink'",
        "ALTER SYSTEM SET fsync = off",
        "ALTER DATABASE postgres SET search_path = p_attacker",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_xact_lock(1)",
        "SELECT pg_notify('raymesh', 'x')",
        "SELECT pg_reload_conf()",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres' LIMIT 1",
        "SELECT pg_logical_emit_message(false, 'a', 'b')",
        "SELECT pg_create_physical_replication_slot('s')",
        "SELECT query_to_xml('SELECT secret FROM p_victim.secrets', true, true, '')",
        "SELECT schema_to_xml('p_victim', true, true, '')",
        "SELECT most_common_vals FROM pg_stats WHERE schemaname = 'p_victim'",
    };
    return list;
  }

  static std::string literal(const std::string& text) {
    std::string out = "'";
    for (char c : text) out += c == '\'' ? "''" : std::string(1, c);
    return out + "'";
  }

  static inline TestProject victim_;
  static inline TestProject attacker_;
  StorageHarness storage_;
};

TEST_F(InjectionEscapeTest, MigrationsAreRefused) {
  for (const std::string& sql : attempts()) {
    const std::string text = outcome_text(migrate(attacker_, sql));
    // The last ones find nothing instead.
    if (text == "ok") {
      EXPECT_THAT(sql, AnyOf(HasSubstr("schema_to_xml"), HasSubstr("pg_stats")));
      continue;
    }
    EXPECT_THAT(text, AnyOf(StartsWith("forbidden_statement: "), StartsWith("migration_failed: ")))
        << sql;
    EXPECT_THAT(text, Not(HasSubstr(kSecret))) << sql;
  }
}

TEST_F(InjectionEscapeTest, CodeInsideAMigrationHasNoMoreRights) {
  for (const std::string& sql : attempts()) {
    const std::string text =
        outcome_text(migrate(attacker_, "DO $do$ BEGIN EXECUTE " + literal(sql) + "; END $do$"));
    if (text == "ok") {
      EXPECT_THAT(sql, AnyOf(HasSubstr("schema_to_xml"), HasSubstr("pg_stats")));
      continue;
    }
    EXPECT_THAT(text, StartsWith("migration_failed: ")) << sql;
    EXPECT_THAT(text, Not(HasSubstr(kSecret))) << sql;
  }
}

TEST_F(InjectionEscapeTest, SecurityDefinerFunctionsHaveTheProjectsRightsOnly) {
  for (const std::string& sql : attempts()) {
    const std::string text = outcome_text(migrate(
        attacker_,
        "CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $do$"
        " BEGIN EXECUTE " +
            literal(sql) + "; END $do$; SELECT f()"));
    if (text == "ok") {
      EXPECT_THAT(sql, AnyOf(HasSubstr("schema_to_xml"), HasSubstr("pg_stats")));
      continue;
    }
    EXPECT_THAT(text, StartsWith("migration_failed: statement 2")) << sql;
  }
}

TEST_F(InjectionEscapeTest, TriggersThatTheNextInsertFires) {
  must_migrate(attacker_,
               "CREATE TABLE bait (id serial PRIMARY KEY, attempt text, loot text);"
               "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
               " IF NEW.attempt LIKE 'SELECT%' THEN EXECUTE NEW.attempt INTO NEW.loot;"
               " ELSE EXECUTE NEW.attempt; END IF; RETURN NEW; END $$;"
               "CREATE TRIGGER g BEFORE INSERT ON bait FOR EACH ROW EXECUTE FUNCTION f()");
  for (const std::string& sql : attempts()) {
    const auto inserted = storage_.run(attacker_, "insert", "bait",
                                       "{\"data\":{\"attempt\":" + json::quoted(sql) + "}}");
    if (inserted.ok()) {
      EXPECT_THAT(sql, AnyOf(HasSubstr("schema_to_xml"), HasSubstr("pg_stats")));
      continue;
    }
    EXPECT_THAT(inserted.error().http_status(), AnyOf(400, 403))
        << sql << ": " << inserted.error().code() << ": " << inserted.error().message;
    EXPECT_THAT(inserted.error().message, Not(HasSubstr(kSecret))) << sql;
  }
  EXPECT_THAT(storage_.text(attacker_, "find", "bait"), Not(HasSubstr(kSecret)));
}

TEST_F(InjectionEscapeTest, StatesThatATriggerRaisesAreItsOwn) {
  must_migrate(attacker_,
               "CREATE TABLE bait (state text);"
               "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
               " RAISE 'no' USING ERRCODE = NEW.state; END $$;"
               "CREATE TRIGGER g BEFORE INSERT ON bait FOR EACH ROW EXECUTE FUNCTION f()");
  for (const char* state : {"12345", "25001", "2D000", "P0001", "ZZZZZ", "01000"}) {
    EXPECT_EQ(storage_.code(attacker_, "insert", "bait",
                            std::string(R"({"data":{"state":")") + state + "\"}}"),
              "database_error")
        << state;
  }
}

TEST_F(InjectionEscapeTest, DeferredTriggersThatTheCommitFires) {
  must_migrate(attacker_,
               "CREATE TABLE bait (id serial PRIMARY KEY);"
               "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
               " EXECUTE 'UPDATE p_victim.secrets SET secret = ''x'''; RETURN NULL; END $$;"
               "CREATE CONSTRAINT TRIGGER g AFTER INSERT ON bait DEFERRABLE INITIALLY DEFERRED"
               " FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE bait ADD COLUMN a int");
  EXPECT_EQ(storage_.code(attacker_, "insert", "bait", R"({"data":{"a":1}})"),
            "database_permission");
  EXPECT_EQ(storage_.text(attacker_, "count", "bait"), "0");
}

TEST_F(InjectionEscapeTest, ViewsThatTheNextFindReads) {
  // Directly: refused when it is made.
  EXPECT_THAT(outcome_text(migrate(attacker_, "CREATE VIEW v AS SELECT * FROM p_victim.secrets")),
              StartsWith("migration_failed: "));
  // By a function: refused when it is read.
  must_migrate(
      attacker_,
      "CREATE FUNCTION loot(sql text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$"
      " DECLARE t text; BEGIN EXECUTE sql INTO t; RETURN t; END $$;"
      "CREATE VIEW v1 AS SELECT 1 AS id, loot('SELECT secret FROM p_victim.secrets') AS s;"
      "CREATE VIEW v2 AS SELECT 1 AS id, loot('SELECT project_id FROM"
      " raymesh_storage.projects LIMIT 1') AS s;"
      "CREATE VIEW v3 AS SELECT 1 AS id, loot('SELECT pg_read_file(''/etc/passwd'')') AS s");
  for (const char* view : {"v1", "v2", "v3"}) {
    for (const char* operation : {"find", "findFirst"}) {
      EXPECT_EQ(storage_.code(attacker_, operation, view), "database_permission") << view;
    }
  }
}

TEST_F(InjectionEscapeTest, DefaultsChecksAndExpressions) {
  must_migrate(
      attacker_,
      "CREATE FUNCTION loot() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$"
      " DECLARE t text; BEGIN EXECUTE 'SELECT secret FROM p_victim.secrets' INTO t; RETURN t; END"
      " $$;"
      "CREATE FUNCTION pure(int) RETURNS text LANGUAGE plpgsql IMMUTABLE AS"
      " $$ BEGIN RETURN loot(); END $$;"
      "CREATE TABLE by_default (id int, s text DEFAULT loot());"
      "CREATE TABLE by_check (id int CHECK (loot() IS NOT NULL));"
      "CREATE TABLE by_generated (id int, s text GENERATED ALWAYS AS (pure(id)) STORED);"
      "CREATE TABLE by_index (id int); CREATE INDEX ON by_index (pure(id));"
      "CREATE DOMAIN d AS int CHECK (loot() IS NOT NULL); CREATE TABLE by_domain (id d);"
      "CREATE TABLE by_rule (id int); CREATE TABLE taken (s text);"
      "CREATE RULE r AS ON INSERT TO by_rule DO ALSO INSERT INTO taken VALUES (loot());"
      "CREATE TABLE by_policy (id int); ALTER TABLE by_policy ENABLE ROW LEVEL SECURITY;"
      "ALTER TABLE by_policy FORCE ROW LEVEL SECURITY;"
      "CREATE POLICY p ON by_policy USING (loot() IS NOT NULL) WITH CHECK (loot() IS NOT NULL)");
  for (const char* table : {"by_default", "by_check", "by_generated", "by_index", "by_domain",
                            "by_rule", "by_policy"}) {
    EXPECT_EQ(storage_.code(attacker_, "insert", table, R"({"data":{"id":1}})"),
              "database_permission")
        << table;
    EXPECT_EQ(storage_.text(attacker_, "count", table), "0") << table;
  }
}

TEST_F(InjectionEscapeTest, WhatAProjectRefersToInAnotherIsRefused) {
  for (const char* sql :
       {"CREATE TABLE t (id int REFERENCES p_victim.secrets (id))",
        "CREATE TABLE t () INHERITS (p_victim.secrets)", "CREATE TABLE t (LIKE p_victim.secrets)",
        "CREATE TABLE t AS SELECT * FROM p_victim.secrets",
        "CREATE MATERIALIZED VIEW t AS SELECT * FROM p_victim.secrets",
        "CREATE TRIGGER g BEFORE INSERT ON p_victim.secrets FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE TABLE t (x p_victim.secrets)",
        "CREATE FUNCTION p_victim.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION p_victim.peek() OWNER TO CURRENT_USER",
        "CREATE TABLE t (id int); ALTER TABLE t SET SCHEMA p_victim"}) {
    EXPECT_THAT(outcome_text(migrate(attacker_, sql)), StartsWith("migration_failed: ")) << sql;
  }
}

TEST_F(InjectionEscapeTest, NamesInTheProjectsSchemaDoNotShadowWhatStorageUses) {
  // The same names as the functions, operators and types of our own statements.
  must_migrate(attacker_,
               "CREATE FUNCTION count(int) RETURNS bigint LANGUAGE sql AS 'SELECT 666::bigint';"
               "CREATE FUNCTION eq(int, int) RETURNS bool LANGUAGE sql AS 'SELECT true';"
               "CREATE OPERATOR = (LEFTARG = int, RIGHTARG = int, FUNCTION = eq);"
               "CREATE TYPE jsonb AS (a int);"
               "CREATE TABLE pg_class (id int); CREATE TABLE t (id int);"
               "INSERT INTO t VALUES (1), (2)");
  EXPECT_EQ(storage_.text(attacker_, "count", "t", R"({"where":{"id":1}})"), "1");
  EXPECT_EQ(storage_.text(attacker_, "delete", "t", R"({"where":{"id":1}})"), R"({"count":1})");
  EXPECT_EQ(storage_.text(attacker_, "find", "pg_class"), "[]");
}

TEST_F(InjectionEscapeTest, ManyStatementsInOneStringStayOneStatement) {
  must_migrate(attacker_, "CREATE TABLE t (s text)");
  EXPECT_THAT(outcome_text(migrate(attacker_,
                                   "DO $$ BEGIN EXECUTE 'SELECT 1; COMMIT; DROP TABLE t'; END $$")),
              StartsWith("migration_failed: "));
  EXPECT_EQ(storage_.text(attacker_, "count", "t"), "0");
}

}  // namespace
}  // namespace raymesh::testing
