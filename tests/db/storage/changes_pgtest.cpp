// What storage knows about tables while they change, and what code of a project may do to its own
// sessions.
#include <gtest/gtest.h>

#include <thread>

#include "tests/db/storage/storage_harness.hpp"

namespace raymesh::testing {
namespace {

using std::chrono::milliseconds;

class ChangesTest : public ::testing::Test {
 protected:
  static TestProject project(const std::string& id) { return TestProject::create(id); }
};

TEST_F(ChangesTest, SeesANewColumnAtOnce) {
  const TestProject p = project("newcolumn");
  p.execute("CREATE TABLE t (id int PRIMARY KEY)");
  StorageHarness storage;
  EXPECT_EQ(storage.text(p, "insert", "t", R"({"data":{"id":1}})"), R"({"id":1})");
  EXPECT_EQ(storage.text(p, "find", "t"), R"([{"id":1}])");
  p.execute("ALTER TABLE t ADD name text DEFAULT 'x'");
  // Nobody raised the epoch: PostgreSQL refuses the old plan, storage looks again and repeats.
  EXPECT_EQ(storage.text(p, "find", "t"), R"([{"id":1,"name":"x"}])");
  EXPECT_EQ(storage.text(p, "find", "t", R"({"where":{"name":"x"}})"), R"([{"id":1,"name":"x"}])");
  EXPECT_EQ(storage.text(p, "insert", "t", R"({"data":{"id":2,"name":"y"}})"), R"({"id":2})");
}

TEST_F(ChangesTest, SeesDroppedAndRetypedColumnsAndTables) {
  const TestProject p = project("retype");
  p.execute("CREATE TABLE t (id int PRIMARY KEY, a int, b int); INSERT INTO t VALUES (1, 2, 3)");
  StorageHarness storage;
  EXPECT_EQ(storage.text(p, "find", "t", R"({"where":{"a":2}})"), R"([{"id":1,"a":2,"b":3}])");
  p.execute("ALTER TABLE t ALTER a TYPE text, DROP b");
  EXPECT_EQ(storage.text(p, "find", "t", R"({"where":{"a":"2"}})"), R"([{"id":1,"a":"2"}])");
  EXPECT_EQ(storage.code(p, "find", "t", R"({"where":{"b":3}})"), "unknown_column");
  EXPECT_EQ(storage.code(p, "update", "t", R"({"where":{"id":1},"data":{"b":3}})"),
            "unknown_column");
  p.execute("DROP TABLE t");
  EXPECT_EQ(storage.code(p, "find", "t"), "unknown_table");
  EXPECT_EQ(storage.code(p, "insert", "t", R"({"data":{"id":2}})"), "unknown_table");
  p.execute("CREATE TABLE t (k text)");
  EXPECT_EQ(storage.text(p, "insert", "t", R"({"data":{"k":"v"}})"), R"({"id":{"k":"v"}})");
}

TEST_F(ChangesTest, FollowsTheEpochOfAnotherNode) {
  const TestProject p = project("epoch");
  p.execute("CREATE TABLE t (id int PRIMARY KEY, at date)");
  HarnessOptions options;
  options.catalog.poll_interval = milliseconds(50);
  options.catalog.max_unverified = milliseconds(100);
  StorageHarness storage(options);
  EXPECT_EQ(storage.text(p, "find", "t"), "[]");
  const double loads = storage.metric("raymesh_storage_tables_loaded_total");
  p.raise_epoch();
  const auto deadline = pg::Clock::now() + std::chrono::seconds(10);
  while (storage.metric("raymesh_storage_epochs_changed_total") < 1 &&
         pg::Clock::now() < deadline) {
    EXPECT_EQ(storage.text(p, "find", "t"), "[]");
  }
  EXPECT_EQ(storage.metric("raymesh_storage_epochs_changed_total"), 1);
  EXPECT_EQ(storage.text(p, "find", "t"), "[]");
  EXPECT_GT(storage.metric("raymesh_storage_tables_loaded_total"), loads);
}

TEST_F(ChangesTest, ReadsEpochsOnceForManyRequests) {
  const TestProject p = project("polls");
  p.execute("CREATE TABLE t (id int PRIMARY KEY)");
  StorageHarness storage;
  const auto begin = pg::Clock::now();
  std::vector<std::future<Result<std::string>>> all;
  for (int i = 0; i < 500; ++i) all.push_back(storage.submit(p, "find", "t"));
  for (auto& f : all) EXPECT_TRUE(f.get().ok());
  const auto seconds = std::chrono::duration<double>(pg::Clock::now() - begin).count();
  EXPECT_LE(storage.metric("raymesh_storage_epoch_polls_total{outcome=\"ok\"}"), 1 + seconds);
  EXPECT_LE(storage.metric("raymesh_storage_tables_loaded_total"), 2);
}

TEST_F(ChangesTest, ForgetsAProjectAfterItsOwnMigration) {
  const TestProject p = project("invalidate");
  p.execute("CREATE TABLE t (a int)");
  StorageHarness storage;
  EXPECT_EQ(storage.text(p, "find", "t"), "[]");
  const double loads = storage.metric("raymesh_storage_tables_loaded_total");
  storage.catalog().invalidate(p.id);
  EXPECT_EQ(storage.text(p, "find", "t"), "[]");
  EXPECT_EQ(storage.metric("raymesh_storage_tables_loaded_total"), loads + 1);
}

TEST_F(ChangesTest, NamesThatNeedQuotes) {
  const TestProject p = project("quotes");
  p.execute(
      "CREATE TABLE \"user-profiles\" (id int PRIMARY KEY, \"weird \"\"col\" text);"
      "CREATE TABLE \"Select\" (id int PRIMARY KEY)");
  StorageHarness storage;
  EXPECT_EQ(storage.text(p, "insert", "user-profiles", R"({"data":{"id":1,"weird \"col":"x"}})"),
            R"({"id":1})");
  EXPECT_EQ(storage.text(p, "find", "user-profiles"), R"([{"id":1,"weird \"col":"x"}])");
  EXPECT_EQ(storage.text(p, "find", "Select"), "[]");
  EXPECT_EQ(storage.code(p, "find", "select"), "unknown_table");
}

TEST_F(ChangesTest, KeepsToTheProjectsOwnSchema) {
  const TestProject mine = project("mine");
  const TestProject theirs = project("theirs");
  theirs.execute("CREATE TABLE secrets (id int); INSERT INTO secrets VALUES (1)");
  StorageHarness storage;
  EXPECT_EQ(storage.code(mine, "find", "secrets"), "unknown_table");
  EXPECT_EQ(storage.code(mine, "find", "p_theirs.secrets"), "unknown_table");
  EXPECT_EQ(storage.code(mine, "find", "pg_class"), "unknown_table");
  mine.execute(
      "CREATE TABLE bait (id int PRIMARY KEY);"
      "CREATE FUNCTION steal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
      "  PERFORM * FROM p_theirs.secrets; RETURN NEW; END $$;"
      "CREATE TRIGGER steal BEFORE INSERT ON bait FOR EACH ROW EXECUTE FUNCTION steal()");
  EXPECT_EQ(storage.code(mine, "insert", "bait", R"({"data":{"id":1}})"), "database_permission");
}

TEST_F(ChangesTest, LimitsTheSizeOfAnAnswer) {
  const TestProject p = project("large");
  p.execute(
      "CREATE TABLE t (id int PRIMARY KEY, v text);"
      "INSERT INTO t SELECT i, repeat('x', 100000) FROM generate_series(1, 20) i;"
      "INSERT INTO t SELECT 100, repeat('x', 30000000)");
  HarnessOptions options;
  options.max_reply_bytes = 1u << 20;
  StorageHarness storage(options);
  EXPECT_EQ(storage.code(p, "find", "t", R"({"where":{"id":{"lt":50}}})"), "result_too_large");
  EXPECT_EQ(storage.code(p, "find", "t", R"({"where":{"id":{"lt":5}}})"), "ok");
  EXPECT_EQ(storage.code(p, "findFirst", "t", R"({"where":{"id":100}})"), "result_too_large");
  EXPECT_EQ(storage.text(p, "count", "t"), "21");
  EXPECT_EQ(storage.metric("raymesh_storage_connections_lost_total"), 0);
}

// A trigger that leaves the session in disorder: the next requests must not notice.
TEST_F(ChangesTest, TriggersCannotPoisonTheSession) {
  const TestProject p = project("poison");
  p.execute(R"sql(
    CREATE TABLE clean (id int PRIMARY KEY, at timestamptz, d interval, b bytea, f float8);
    INSERT INTO clean VALUES (1, '2024-01-02 03:04:05Z', '1 day', '\x00ff', 0.1);
    CREATE TABLE dirty (id int PRIMARY KEY, sql text);
    CREATE FUNCTION run_it() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN EXECUTE NEW.sql; RETURN NEW; END $$;
    CREATE TRIGGER run_it AFTER INSERT ON dirty FOR EACH ROW EXECUTE FUNCTION run_it();
  )sql");
  const char* poisons[] = {
      "SET statement_timeout = 0",
      "SET search_path = pg_catalog",
      "SET TimeZone = ''Asia/Tokyo''",
      "SET DateStyle = ''SQL, DMY''",
      "SET IntervalStyle = ''iso_8601''",
      "SET bytea_output = ''escape''",
      "SET extra_float_digits = -15",
      "SET default_transaction_read_only = on",
      "SET default_transaction_isolation = ''serializable''",
      "SET client_encoding = ''LATIN1''",
      "SET standard_conforming_strings = off",
      "SET application_name = ''x''",
      "SELECT set_config(''work_mem'', ''64kB'', false)",
      "DEALLOCATE ALL",
      "DISCARD PLANS",
      "LISTEN everything",
      "PREPARE mine AS SELECT 1",
      "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
      "SET row_security = off",
      "SET enable_indexscan = off",
  };
  HarnessOptions options;
  options.pools.pool.max_connections = 1;
  StorageHarness storage(options);
  const std::string expected =
      R"([{"id":1,"at":"2024-01-02T03:04:05.000Z","d":"1 day","b":"AP8=","f":0.1}])";
  ASSERT_EQ(storage.text(p, "find", "clean"), expected);
  int id = 0;
  for (const char* poison : poisons) {
    std::string sql;
    for (std::string_view rest = poison; !rest.empty(); rest.remove_prefix(1)) {
      sql += rest[0];
      if (rest.starts_with("''")) rest.remove_prefix(1);
    }
    std::string data = "{\"data\":{\"id\":" + std::to_string(++id) + ",\"sql\":\"" + sql + "\"}}";
    // The poison and its victims travel in one write.
    auto dirty = storage.submit(p, "insert", "dirty", data);
    std::vector<std::future<Result<std::string>>> victims;
    for (int i = 0; i < 5; ++i) victims.push_back(storage.submit(p, "find", "clean"));
    auto write = storage.submit(p, "update", "clean", R"({"where":{"id":1},"data":{"f":0.1}})");
    const auto inserted = dirty.get();
    EXPECT_TRUE(inserted.ok()) << poison << inserted.error().message;
    for (auto& v : victims) {
      const auto answer = v.get();
      EXPECT_EQ(answer.ok() ? *answer : answer.error().message, expected) << poison;
    }
    const auto updated = write.get();
    EXPECT_EQ(updated.ok() ? *updated : updated.error().message, "{\"count\":1}") << poison;
  }
}

TEST_F(ChangesTest, ATemporaryTableCannotStandInForATable) {
  const TestProject p = project("temptable");
  // As if an operator had given it back.
  PostgresServer::shared().execute(
      "GRANT TEMPORARY ON DATABASE postgres TO \"raymesh_p_temptable\"");
  p.execute(R"sql(
    CREATE TABLE real (id int PRIMARY KEY); INSERT INTO real VALUES (1);
    CREATE TABLE trap (id int PRIMARY KEY);
    CREATE FUNCTION shadow() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN CREATE TEMP TABLE IF NOT EXISTS real (id int, fake text); RETURN NEW; END $$;
    CREATE TRIGGER shadow BEFORE INSERT ON trap FOR EACH ROW EXECUTE FUNCTION shadow();
  )sql");
  HarnessOptions options;
  options.pools.pool.max_connections = 1;
  StorageHarness storage(options);
  EXPECT_EQ(storage.text(p, "insert", "trap", R"({"data":{"id":1}})"), R"({"id":1})");
  EXPECT_EQ(storage.text(p, "find", "real"), R"([{"id":1}])");
}

TEST_F(ChangesTest, RowsWrittenThroughViewsRulesAndNullTriggers) {
  const TestProject p = project("views");
  p.execute(R"sql(
    CREATE TABLE base (id int PRIMARY KEY, v text);
    CREATE VIEW shown AS SELECT * FROM base;
    CREATE TABLE swallow (id int PRIMARY KEY);
    CREATE FUNCTION nope() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE TRIGGER nope BEFORE INSERT ON swallow FOR EACH ROW EXECUTE FUNCTION nope();
    CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'no % today', NEW.id USING ERRCODE = 'P0001'; END $$;
    CREATE TABLE grumpy (id int PRIMARY KEY);
    CREATE TRIGGER complain BEFORE INSERT ON grumpy FOR EACH ROW EXECUTE FUNCTION complain();
  )sql");
  StorageHarness storage;
  EXPECT_EQ(storage.text(p, "insert", "shown", R"({"data":{"id":1,"v":"x"}})"), R"({"id":1})");
  EXPECT_EQ(storage.text(p, "findFirst", "shown"), R"({"id":1,"v":"x"})");
  EXPECT_EQ(storage.text(p, "insert", "swallow", R"({"data":{"id":1}})"), R"({"id":null})");
  EXPECT_EQ(storage.text(p, "insert", "grumpy", R"({"data":{"id":7}})"),
            "database_error: no 7 today");
}

TEST_F(ChangesTest, MapsWhatPostgresRefuses) {
  const TestProject p = project("refusals");
  p.execute(
      "CREATE TABLE parent (id int PRIMARY KEY);"
      "CREATE TABLE t (id int PRIMARY KEY, n int CHECK (n > 0), p int REFERENCES parent,"
      " v varchar(3), u uuid, g int GENERATED ALWAYS AS (n + 1) STORED)");
  StorageHarness storage;
  auto insert = [&](const std::string& data) {
    return storage.code(p, "insert", "t", "{\"data\":" + data + "}");
  };
  EXPECT_EQ(insert(R"({"id":1,"n":1})"), "ok");
  EXPECT_EQ(insert(R"({"id":1})"), "unique_violation");
  EXPECT_EQ(insert(R"({"id":2,"p":9})"), "foreign_key_violation");
  EXPECT_EQ(insert(R"({"id":null})"), "not_null_violation");
  EXPECT_EQ(insert(R"({"id":2,"n":-1})"), "check_violation");
  EXPECT_EQ(insert(R"({"id":2,"v":"long"})"), "invalid_value");
  EXPECT_EQ(insert(R"({"id":2,"u":"nonsense"})"), "invalid_value");
  EXPECT_EQ(insert(R"({"id":99999999999})"), "invalid_value");
  EXPECT_EQ(insert(R"({"id":2,"g":5})"), "invalid_value");
  EXPECT_EQ(insert(R"({"id":2,"v":"a\u0000"})"), "invalid_value");
  const std::string null_row = storage.text(p, "insert", "t", R"({"data":{"id":null,"v":"see"}})");
  EXPECT_EQ(null_row.find("see"), std::string::npos) << "the detail shows the whole row";
}

TEST_F(ChangesTest, ASlowStatementHitsItsTimeLimit) {
  const TestProject p = project("slow");
  p.execute("CREATE VIEW slow AS SELECT 1 AS id FROM pg_sleep(20)");
  HarnessOptions options;
  options.session.statement_timeout = milliseconds(200);
  StorageHarness storage(options);
  EXPECT_EQ(storage.code(p, "find", "slow"), "statement_timeout");
}

TEST_F(ChangesTest, AnUnknownProjectIsUnavailableAndABadOneIsRefused) {
  HarnessOptions options;
  options.pools.pool.outage_after = milliseconds(100);
  StorageHarness storage(options);
  EXPECT_EQ(storage.code({"nobody", "p_nobody"}, "find", "t"), "unavailable");
  EXPECT_EQ(storage.code({"", ""}, "find", "t"), "invalid_request");
  EXPECT_EQ(storage.code({"a'; --", ""}, "find", "t"), "invalid_request");
}

TEST_F(ChangesTest, WorksWithoutTheSystemLogin) {
  // The epochs cannot be read, so tables are looked up again and again: slower, never wrong.
  const TestProject p = project("nosystem");
  p.execute("CREATE TABLE t (id int PRIMARY KEY)");
  PostgresServer::shared().execute("ALTER ROLE raymesh_storage NOLOGIN");
  {
    HarnessOptions options;
    options.pools.pool.outage_after = milliseconds(100);
    StorageHarness storage(options);
    EXPECT_EQ(storage.text(p, "find", "t"), "[]");
    EXPECT_FALSE(storage.catalog().check().ok());
    EXPECT_EQ(storage.text(p, "find", "t"), "[]");
  }
  PostgresServer::shared().execute("ALTER ROLE raymesh_storage LOGIN");
}

TEST_F(ChangesTest, ReadinessFollowsTheServerWithoutTraffic) {
  HarnessOptions options;
  options.catalog.poll_interval = milliseconds(10);
  options.pools.pool.outage_after = milliseconds(100);
  StorageHarness storage(options);
  auto becomes = [&](bool ready) {
    const auto deadline = pg::Clock::now() + std::chrono::seconds(20);
    while (storage.catalog().check().ok() != ready) {
      if (pg::Clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  };
  EXPECT_TRUE(becomes(true));
  PostgresServer::shared().stop();
  EXPECT_TRUE(becomes(false));
  PostgresServer::shared().start();
  EXPECT_TRUE(becomes(true));
}

}  // namespace
}  // namespace raymesh::testing
