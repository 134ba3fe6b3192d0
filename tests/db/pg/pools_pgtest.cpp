// What happens when sessions break, block or are too few, and when code of a project misbehaves in
// them.
#include <gtest/gtest.h>

#include <map>

#include "tests/db/pg/pool_harness.hpp"
#include "tests/support/postgres_fixture.hpp"

namespace raymesh::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

PostgresServer& server() {
  return PostgresServer::shared();
}

class PoolsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    server().execute(R"sql(
      CREATE ROLE tenant LOGIN PASSWORD 'secret';
      CREATE SCHEMA pt AUTHORIZATION tenant;
      SET ROLE tenant;
      CREATE TABLE pt.t (id int PRIMARY KEY, v text);
      CREATE FUNCTION pt.run(text) RETURNS int LANGUAGE plpgsql AS $$
        BEGIN EXECUTE $1; RETURN 1; END $$;
    )sql");
  }
  void SetUp() override { server().execute("TRUNCATE pt.t"); }

  static pg::Login tenant() {
    pg::Login l;
    l.server = server().server_url();
    l.user = "tenant";
    l.password = "secret";
    l.schema = "pt";
    return l;
  }
  static Result<pg::Login> login(const std::string&) { return tenant(); }

  static pg::ProjectPools::LoginFor superuser_of(const PostgresServer& own) {
    return [url = own.admin_url()](const std::string&) -> Result<pg::Login> {
      pg::Login l;
      l.server = url;
      l.schema = "public";
      return l;
    };
  }

  static pg::ProjectPoolsConfig connections(size_t n) {
    pg::ProjectPoolsConfig config;
    config.pool.max_connections = n;
    return config;
  }

  static bool is_running(const std::string& pattern, const std::string& for_at_least = "0 ms") {
    return server().query(
               "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> "
               "pg_backend_pid() AND query LIKE '%" +
               pattern + "%' AND clock_timestamp() - query_start >= interval '" + for_at_least +
               "'") != "0";
  }
  // So long that the pool has seen it to be slow and puts nothing behind it.
  static bool is_slow(const std::string& pattern) { return is_running(pattern, "100 ms"); }
  static void terminate_tenants() {
    server().execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tenant'");
  }
  static std::string count() { return *server().query("SELECT count(*) FROM pt.t"); }
};

TEST_F(PoolsTest, RepeatsAReadWhoseConnectionWasKilled) {
  PoolHarness pools(login, connections(1));
  auto read = pools.submit("SELECT pg_sleep(0.5), 'first read'");
  PoolHarness::wait_until([] { return is_running("first read"); });
  terminate_tenants();
  Answer answer = read.get();
  EXPECT_TRUE(answer.done()) << answer.outcome.error.message;
  EXPECT_EQ(answer.rows.size(), 1u);
  EXPECT_EQ(pools.retried, 1);
}

TEST_F(PoolsTest, AnswersOutcomeUnknownForTheWriteThatWasRunning) {
  PoolHarness pools(login, connections(1));
  auto write =
      pools.submit("INSERT INTO pt.t SELECT 1, 'running write' FROM pg_sleep(30)", {}, true);
  // These were sent too, but the server had not come to them: they are run elsewhere, once.
  std::vector<std::future<Answer>> behind;
  for (int i = 10; i < 20; ++i) {
    behind.push_back(
        pools.submit("INSERT INTO pt.t VALUES ($1::int, 'x')", {std::to_string(i)}, true));
  }
  PoolHarness::wait_until([] { return is_running("running write"); });
  terminate_tenants();
  EXPECT_EQ(write.get().code(), "outcome_unknown");
  for (auto& f : behind) {
    Answer answer = f.get();
    EXPECT_TRUE(answer.done()) << answer.outcome.error.message;
  }
  EXPECT_EQ(count(), "10");
}

// Which session answered each of so many statements that were submitted in one go.
std::map<std::string, int> sessions_of(PoolHarness& pools, int statements, bool is_write) {
  std::vector<std::future<Answer>> answers(static_cast<size_t>(statements));
  pools.on_io([&](pg::ProjectPools&) {
    for (auto& answer : answers) answer = pools.submit("SELECT pg_backend_pid()", {}, is_write);
  });
  std::map<std::string, int> out;
  for (auto& answer : answers) ++out[answer.get().value()];
  return out;
}

TEST_F(PoolsTest, ReadsGoTogetherAndWritesApart) {
  auto config = connections(3);
  config.pool.pack_while = seconds(10);  // the machine may be slow
  PoolHarness pools(login, config);
  std::vector<std::future<Answer>> slow;
  while (pools.opened < 3) {
    slow.push_back(pools.submit("SELECT pg_sleep(0.01)", {}, true));
    slow.back().wait_for(milliseconds(1));
  }
  for (auto& answer : slow) EXPECT_TRUE(answer.get().done());
  // One session while it has fewer than 16 in flight.
  EXPECT_EQ(sessions_of(pools, 10, false).size(), 1u);
  EXPECT_EQ(sessions_of(pools, 40, false).size(), 3u);
  // A write waits for its commit, and several sessions share the wait.
  EXPECT_EQ(sessions_of(pools, 3, true).size(), 3u);
}

TEST_F(PoolsTest, LosesNoAcknowledgedWriteWhenKilledUnderLoad) {
  auto config = connections(3);
  config.pool.max_wait = seconds(60);  // the disk may be slow
  PoolHarness pools(login, config);
  std::vector<std::future<Answer>> writes;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 100; ++i) {
      writes.push_back(pools.submit("INSERT INTO pt.t VALUES ($1::int, 'x')",
                                    {std::to_string(round * 100 + i)}, true));
    }
    if (round % 4 == 3) terminate_tenants();
  }
  int done = 0;
  int unknown = 0;
  for (size_t i = 0; i < writes.size(); ++i) {
    Answer answer = writes[i].get();
    if (answer.done()) {
      ++done;
      continue;
    }
    EXPECT_EQ(answer.code(), "outcome_unknown") << answer.sqlstate();
    ++unknown;
  }
  const int rows = std::stoi(count());
  EXPECT_GE(rows, done);
  EXPECT_LE(rows, done + unknown);
  // At most the oldest one of each of three connections, five times.
  EXPECT_LE(unknown, 15);
}

TEST_F(PoolsTest, ASlowStatementHoldsUpNobody) {
  PoolHarness pools(login, connections(2));
  pools.run("SELECT 1");
  auto slow = pools.submit("SELECT pg_sleep(3), 'slow'");
  const auto begin = pg::Clock::now();
  std::vector<std::future<Answer>> fast;
  for (int i = 0; i < 50; ++i) fast.push_back(pools.submit("SELECT $1::int", {std::to_string(i)}));
  for (auto& f : fast) EXPECT_TRUE(f.get().done());
  EXPECT_LT(pg::Clock::now() - begin, seconds(1));
  EXPECT_EQ(slow.wait_for(seconds(0)), std::future_status::timeout);
  EXPECT_GE(pools.rescued, 1);
  EXPECT_TRUE(slow.get().done());
}

TEST_F(PoolsTest, RefusesWhoWaitedTooLong) {
  auto config = connections(1);
  config.pool.max_wait = milliseconds(300);
  PoolHarness pools(login, config);
  PoolHarness::wait_until([&] { return pools.run("SELECT 1").done(); });
  auto slow = pools.submit("SELECT pg_sleep(3), 'hog'");
  PoolHarness::wait_until([] { return is_slow("hog"); });
  Answer late = pools.run("SELECT 1");
  EXPECT_EQ(late.code(), "overloaded");
  EXPECT_GT(late.outcome.error.retry_after.count(), 0);
  EXPECT_TRUE(slow.get().done());
  EXPECT_TRUE(pools.run("SELECT 1").done());
}

TEST_F(PoolsTest, RefusesMoreWaitingThanItsBound) {
  auto config = connections(1);
  config.pool.max_waiting = 10;
  config.pool.max_depth = 1;
  PoolHarness pools(login, config);
  std::vector<std::future<Answer>> all;
  for (int i = 0; i < 40; ++i) all.push_back(pools.submit("SELECT pg_sleep(0.05)"));
  int refused = 0;
  for (auto& f : all) {
    Answer answer = f.get();
    if (!answer.done()) {
      EXPECT_EQ(answer.code(), "overloaded");
      ++refused;
    }
  }
  EXPECT_GE(refused, 25);
  EXPECT_LE(refused, 30);
}

TEST_F(PoolsTest, SharesTheBudgetAmongProjects) {
  pg::ProjectPoolsConfig config = connections(4);
  config.max_connections = 2;
  PoolHarness pools(login, config);
  for (int round = 0; round < 3; ++round) {
    for (const char* key : {"a", "b", "c", "d"}) {
      EXPECT_TRUE(pools.submit("SELECT 1", {}, false, false, key).get().done());
    }
  }
  EXPECT_EQ(server().query("SELECT count(*) FROM pg_stat_activity WHERE usename = 'tenant'"), "2");

  // Who has nothing comes before who has many, also while all are busy.
  auto one = pools.submit("SELECT pg_sleep(0.3)", {}, false, false, "a");
  auto two = pools.submit("SELECT pg_sleep(0.3)", {}, false, false, "a");
  EXPECT_TRUE(pools.submit("SELECT 1", {}, false, false, "e").get().done());
  EXPECT_TRUE(one.get().done());
  EXPECT_TRUE(two.get().done());
}

TEST_F(PoolsTest, RefusesWhenTheBudgetIsUsedUp) {
  pg::ProjectPoolsConfig config = connections(1);
  config.max_connections = 1;
  config.pool.max_wait = milliseconds(300);
  PoolHarness pools(login, config);
  auto run = [&](const char* key) { return pools.submit("SELECT 1", {}, false, false, key).get(); };
  PoolHarness::wait_until([&] { return run("a").done(); });
  auto slow = pools.submit("SELECT pg_sleep(3), 'budget'", {}, false, false, "a");
  PoolHarness::wait_until([] { return is_slow("budget"); });
  EXPECT_EQ(run("b").code(), "overloaded");
  EXPECT_TRUE(slow.get().done());
  PoolHarness::wait_until([&] { return run("b").done(); });
}

TEST_F(PoolsTest, ReplacesWornConnections) {
  pg::ProjectPoolsConfig config = connections(1);
  config.pool.max_statements = 100;
  PoolHarness pools(login, config);
  for (int i = 0; i < 10; ++i) {
    std::vector<std::future<Answer>> all;
    for (int k = 0; k < 50; ++k) all.push_back(pools.submit("SELECT 1"));
    for (auto& f : all) EXPECT_TRUE(f.get().done());
  }
  EXPECT_GE(pools.opened, 4);
  EXPECT_EQ(pools.lost, 0);
  EXPECT_LE(pools.opened - pools.closed, 2);
}

TEST_F(PoolsTest, TellsAWrongPasswordAndAMissingServer) {
  PoolHarness wrong([](const std::string&) -> Result<pg::Login> {
    pg::Login l = tenant();
    l.password = "not it";
    return l;
  });
  Answer answer = wrong.run("SELECT 1");
  EXPECT_EQ(answer.code(), "unavailable");
  EXPECT_NE(answer.outcome.error.message.find("password authentication failed"), std::string::npos);
  EXPECT_EQ(answer.outcome.error.message.find("not it"), std::string::npos);

  PoolHarness missing([](const std::string&) -> Result<pg::Login> {
    pg::Login l = tenant();
    l.server = "host=/nonexistent dbname=x";
    return l;
  });
  const auto begin = pg::Clock::now();
  EXPECT_EQ(missing.run("SELECT 1").code(), "unavailable");
  EXPECT_LT(pg::Clock::now() - begin, seconds(4));
  // Now it is known, so the next one need not wait.
  const auto again = pg::Clock::now();
  EXPECT_EQ(missing.run("SELECT 1").code(), "unavailable");
  EXPECT_LT(pg::Clock::now() - again, milliseconds(500));
}

TEST_F(PoolsTest, WaitsForAServerThatRestarts) {
  PostgresServer own;
  own.execute("CREATE TABLE t (id int PRIMARY KEY)");
  auto config = connections(2);
  config.pool.outage_after = seconds(30);
  config.pool.max_wait = seconds(30);
  PoolHarness pools(superuser_of(own), config);
  EXPECT_TRUE(pools.run("SELECT 1").done());
  own.stop(PostgresServer::Stop::kImmediate);
  auto read = pools.submit("SELECT 2");
  auto write = pools.submit("INSERT INTO t VALUES (1)", {}, true);
  own.start();
  EXPECT_TRUE(read.get().done());
  EXPECT_TRUE(write.get().done());
  EXPECT_EQ(own.query("SELECT count(*) FROM t"), "1");
}

TEST_F(PoolsTest, RefusesQuicklyDuringALongOutageAndComesBack) {
  PostgresServer own;
  auto config = connections(2);
  config.pool.outage_after = milliseconds(200);
  PoolHarness pools(superuser_of(own), config);
  EXPECT_TRUE(pools.run("SELECT 1").done());
  own.stop();
  EXPECT_EQ(pools.run("SELECT 3").code(), "unavailable");
  EXPECT_EQ(pools.run("SELECT 3").code(), "unavailable");
  own.start();
  PoolHarness::wait_until([&] { return pools.run("SELECT 3").done(); });
}

TEST_F(PoolsTest, EndsAStatementThatSwitchedItsTimeoutOff) {
  auto config = connections(1);
  PoolHarness pools(
      [](const std::string&) -> Result<pg::Login> {
        pg::Login l = tenant();
        l.limits.statement_timeout = milliseconds(300);
        return l;
      },
      config);
  EXPECT_EQ(pools.run("SELECT pg_sleep(5)").sqlstate(), "57014");
  EXPECT_TRUE(pools.run("SELECT pt.run('SET statement_timeout = 0')").done());
  const auto begin = pg::Clock::now();
  auto evil = pools.submit("SELECT pg_sleep(60), 'evil'");
  auto behind = pools.submit("INSERT INTO pt.t VALUES (1, 'behind')", {}, true);
  EXPECT_EQ(evil.get().code(), "statement_timeout");
  EXPECT_LT(pg::Clock::now() - begin, seconds(5));
  EXPECT_TRUE(behind.get().done());
  EXPECT_EQ(count(), "1");
  EXPECT_EQ(pools.terminated, 1);
  PoolHarness::wait_until([] { return !is_running("evil"); });
  // The next session has the time limit again.
  EXPECT_EQ(pools.run("SELECT pg_sleep(5)").sqlstate(), "57014");
}

TEST_F(PoolsTest, ResetsWhatForeignCodeChanged) {
  PoolHarness pools(login, connections(1));
  const std::string evil =
      "SELECT pt.run('SET statement_timeout = 0; SET search_path = pg_catalog; SET bytea_output ="
      " escape; SET TimeZone = ''Asia/Tokyo''; LISTEN x; PREPARE mine AS SELECT 1; DECLARE c CURSOR"
      " WITH HOLD FOR SELECT 1')";
  auto poisoned = pools.submit(evil, {}, false, /*runs_foreign_code=*/true);
  auto next = pools.submit(
      "SELECT current_setting('statement_timeout') || current_setting('bytea_output') ||"
      " current_setting('TimeZone') || current_setting('search_path')");
  ASSERT_TRUE(poisoned.get().done());
  EXPECT_EQ(next.get().value(), "10shexUTC\"pt\",pg_temp");
  EXPECT_EQ(pools.run("SELECT count(*) FROM pg_listening_channels()").value(), "0");
  EXPECT_EQ(pools.run("SELECT count(*) FROM pg_cursors WHERE name = 'c'").value(), "0");
  EXPECT_EQ(pools.opened, 1);
}

TEST_F(PoolsTest, LeavesASessionWhoseReportedSettingsChanged) {
  PoolHarness pools(login, connections(1));
  pools.run("SELECT 1");
  std::vector<std::future<Answer>> behind;
  auto poisoned = pools.submit("SELECT pt.run('SET TimeZone = ''Asia/Tokyo''')");
  for (int i = 0; i < 20; ++i) behind.push_back(pools.submit("SELECT now()::text"));
  EXPECT_TRUE(poisoned.get().done());
  for (auto& f : behind) {
    Answer answer = f.get();
    EXPECT_TRUE(answer.value().ends_with("+00")) << answer.value();
  }
  EXPECT_EQ(pools.tainted, 1);
}

TEST_F(PoolsTest, SurvivesDeallocateAll) {
  PoolHarness pools(login, connections(1));
  std::vector<std::future<Answer>> all;
  for (int i = 0; i < 30; ++i) {
    all.push_back(pools.submit("SELECT $1::int", {std::to_string(i)}));
    all.push_back(
        pools.submit("INSERT INTO pt.t VALUES ($1::int, 'x')", {std::to_string(i)}, true));
    if (i % 10 == 5) all.push_back(pools.submit("SELECT pt.run('DEALLOCATE ALL')"));
  }
  for (auto& f : all) {
    Answer answer = f.get();
    EXPECT_TRUE(answer.done()) << answer.sqlstate() << answer.outcome.error.message;
  }
  EXPECT_EQ(count(), "30");
  EXPECT_EQ(pools.lost, 0);
}

TEST_F(PoolsTest, PassesOnAnErrorThatLooksLikeALostStatement) {
  PoolHarness pools(login, connections(1));
  EXPECT_EQ(pools.run("SELECT pt.run('EXECUTE nothing')").sqlstate(), "26000");
  EXPECT_EQ(pools.run("SELECT 1").value(), "1");
}

TEST_F(PoolsTest, IgnoresNoticesAndNotifications) {
  PoolHarness pools(login, connections(1));
  EXPECT_TRUE(pools.run("SELECT pt.run('LISTEN chatter')").done());
  server().execute("NOTIFY chatter, 'hello'");
  EXPECT_TRUE(pools.run("SELECT pt.run('DO $x$ BEGIN RAISE WARNING ''noise''; END $x$')").done());
  server().execute("NOTIFY chatter, 'hello'");
  EXPECT_EQ(pools.run("SELECT 1").value(), "1");
  EXPECT_EQ(pools.lost, 0);
}

TEST_F(PoolsTest, ForgetsStatementsWhenTheSchemaChanges) {
  PoolHarness pools(login, connections(1));
  server().execute(
      "CREATE TABLE pt.changing AS SELECT 1 AS a; ALTER TABLE pt.changing OWNER TO tenant");
  EXPECT_EQ(pools.run("SELECT * FROM pt.changing").rows.at(0).size(), 1u);
  server().execute("ALTER TABLE pt.changing ADD b int");
  EXPECT_EQ(pools.run("SELECT * FROM pt.changing").sqlstate(), "0A000");
  pools.on_io([](pg::ProjectPools& p) { p.forget_statements("p"); });
  EXPECT_EQ(pools.run("SELECT * FROM pt.changing").rows.at(0).size(), 2u);
  server().execute("DROP TABLE pt.changing");
}

TEST_F(PoolsTest, AnswersEverythingAtShutdown) {
  std::vector<std::future<Answer>> all;
  {
    auto config = connections(1);
    config.pool.max_depth = 4;
    PoolHarness pools(login, config);
    pools.run("SELECT 1");
    for (int i = 0; i < 10; ++i) {
      all.push_back(pools.submit("SELECT pg_sleep(5), 'bye'", {}, i % 2 == 0));
    }
    PoolHarness::wait_until([] { return is_running("bye"); });
  }
  for (auto& f : all) {
    const std::string code = f.get().code();
    EXPECT_TRUE(code == "unavailable" || code == "outcome_unknown") << code;
  }
}

}  // namespace
}  // namespace raymesh::testing
