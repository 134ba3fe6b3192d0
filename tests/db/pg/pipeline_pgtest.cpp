// What the pipeline promises to callers that share a session.
#include <gtest/gtest.h>

#include "tests/db/pg/pool_harness.hpp"
#include "tests/support/postgres_fixture.hpp"

namespace raymesh::testing {
namespace {

class PipelineTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    PostgresServer::shared().execute(
        "CREATE ROLE worker LOGIN PASSWORD 'secret'; CREATE SCHEMA s AUTHORIZATION worker;"
        "SET ROLE worker; CREATE TABLE s.t (id int PRIMARY KEY, v text)");
  }

  void SetUp() override { PostgresServer::shared().execute("TRUNCATE s.t"); }

  static Result<pg::Login> login(const std::string&) {
    pg::Login l;
    l.server = PostgresServer::shared().server_url();
    l.user = "worker";
    l.password = "secret";
    l.schema = "s";
    return l;
  }

  static pg::ProjectPoolsConfig connections(size_t n) {
    pg::ProjectPoolsConfig config;
    config.pool.max_connections = n;
    return config;
  }
};

TEST_F(PipelineTest, AnswersOneRow) {
  PoolHarness pools(login);
  Answer answer = pools.run("SELECT $1::int + 1, NULL, 'x'::text", {"41"});
  ASSERT_TRUE(answer.done()) << answer.outcome.error.message;
  ASSERT_EQ(answer.rows.size(), 1u);
  EXPECT_EQ(answer.rows[0][0], "42");
  EXPECT_EQ(answer.rows[0][1], std::nullopt);
  EXPECT_EQ(answer.rows[0][2], "x");
}

TEST_F(PipelineTest, AnErrorTouchesNeitherNeighbour) {
  PoolHarness pools(login);
  pools.run("SELECT 1");
  std::vector<std::future<Answer>> all;
  for (int i = 0; i < 60; ++i) {
    if (i % 3 == 1) {
      all.push_back(pools.submit("SELECT 1 / $1::int", {"0"}));
    } else if (i % 3 == 2) {
      all.push_back(pools.submit("SELECT nonsense FROM nowhere"));
    } else {
      all.push_back(pools.submit("INSERT INTO s.t VALUES ($1::int, 'a') RETURNING id",
                                 {std::to_string(i)}, true));
    }
  }
  for (int i = 0; i < 60; ++i) {
    Answer answer = all[i].get();
    if (i % 3 == 0) {
      ASSERT_TRUE(answer.done()) << answer.sqlstate() << answer.outcome.error.message;
      EXPECT_EQ(answer.value(), std::to_string(i));
      EXPECT_EQ(answer.outcome.affected_rows, 1u);
    } else {
      EXPECT_EQ(answer.sqlstate(), i % 3 == 1 ? "22012" : "42P01");
    }
  }
  EXPECT_EQ(PostgresServer::shared().query("SELECT count(*) FROM s.t"), "20");
  EXPECT_EQ(pools.lost, 0);
}

TEST_F(PipelineTest, KeepsABoundedNumberOfPreparedStatements) {
  auto config = connections(1);
  config.connection.prepared_statements = 8;
  PoolHarness pools(login, config);
  std::vector<std::future<Answer>> all;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) {
      all.push_back(pools.submit("SELECT " + std::to_string(i) + " + $1::int", {"1"}));
    }
  }
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].get().value(), std::to_string(i % 50 + 1));
  }
  Answer count = pools.run("SELECT count(*) FROM pg_prepared_statements");
  EXPECT_LE(std::stoi(count.value()), 8);
  EXPECT_EQ(pools.opened, 1);
}

TEST_F(PipelineTest, RunsTextsTooLongToBePrepared) {
  PoolHarness pools(login, connections(1));
  const std::string sql = "SELECT $1::text || '" + std::string(40'000, 'x') + "'";
  auto first = pools.submit(sql, {"a"});
  auto second = pools.submit(sql, {"b"});
  EXPECT_EQ(first.get().value()[0], 'a');
  EXPECT_EQ(second.get().value()[0], 'b');
  EXPECT_EQ(pools.run("SELECT count(*) FROM pg_prepared_statements").value(), "1");
}

TEST_F(PipelineTest, TellsTypesOfOneTextApart) {
  PoolHarness pools(login, connections(1));
  auto submit = [&](uint32_t type) {
    return pools.submit("SELECT pg_typeof($1)::text", {"1"}, false, false, "p", {type}).get();
  };
  EXPECT_EQ(submit(23).value(), "integer");
  EXPECT_EQ(submit(20).value(), "bigint");
  EXPECT_EQ(submit(23).value(), "integer");
}

TEST_F(PipelineTest, MovesManyLargeValuesBothWays) {
  PoolHarness pools(login, connections(2));
  const std::string big(1'500'000, 'x');
  std::vector<std::future<Answer>> all;
  for (int i = 0; i < 24; ++i) all.push_back(pools.submit("SELECT $1::text, $1::text", {big}));
  for (auto& f : all) {
    Answer answer = f.get();
    ASSERT_TRUE(answer.done()) << answer.outcome.error.message;
    EXPECT_EQ(answer.rows.at(0).at(1), big);
  }
}

TEST_F(PipelineTest, DropsRowsAboveTheLimitAndGoesOn) {
  auto config = connections(1);
  config.connection.max_row_bytes = 100'000;
  PoolHarness pools(login, config);
  auto large = pools.submit("SELECT repeat('x', $1::int)", {"3000000"});
  auto next = pools.submit("SELECT 7");
  Answer answer = large.get();
  EXPECT_TRUE(answer.done());
  EXPECT_EQ(answer.value(), "oversized");
  EXPECT_EQ(next.get().value(), "7");
  EXPECT_EQ(pools.lost, 0);
}

TEST_F(PipelineTest, HandlesNullsEmptyTextsAndEmptyResults) {
  PoolHarness pools(login);
  Answer answer = pools.run("SELECT $1::text, $2::text WHERE $3::bool", {"", std::nullopt, "t"});
  EXPECT_EQ(answer.rows.at(0).at(0), "");
  EXPECT_EQ(answer.rows.at(0).at(1), std::nullopt);
  answer = pools.run("SELECT $1::text, $2::text WHERE $3::bool", {"", std::nullopt, "f"});
  EXPECT_TRUE(answer.done());
  EXPECT_TRUE(answer.rows.empty());
  EXPECT_TRUE(pools.write("UPDATE s.t SET v = 'x' WHERE id = -1").done());
}

TEST_F(PipelineTest, RefusesCopyByClosingTheConnection) {
  PoolHarness pools(login, connections(1));
  Answer answer = pools.write("COPY s.t TO STDOUT");
  EXPECT_EQ(answer.code(), "outcome_unknown");
  EXPECT_EQ(pools.run("SELECT 1").value(), "1");
}

TEST_F(PipelineTest, StartsWithTheSettingsThatAnswersDependOn) {
  PostgresServer::shared().execute(
      "ALTER ROLE worker SET search_path = public; ALTER ROLE worker SET TimeZone = 'Asia/Tokyo';"
      "ALTER ROLE worker SET statement_timeout = 0; ALTER ROLE worker SET DateStyle = 'SQL, DMY';"
      "ALTER ROLE worker SET bytea_output = 'escape'; ALTER ROLE worker SET client_encoding = "
      "LATIN1");
  PoolHarness pools(login);
  EXPECT_EQ(pools.run("SHOW search_path").value(), "\"s\",pg_temp");
  EXPECT_EQ(pools.run("SHOW TimeZone").value(), "UTC");
  EXPECT_EQ(pools.run("SHOW statement_timeout").value(), "10s");
  EXPECT_EQ(pools.run("SHOW DateStyle").value(), "ISO, YMD");
  EXPECT_EQ(pools.run("SHOW bytea_output").value(), "hex");
  EXPECT_EQ(pools.run("SHOW client_encoding").value(), "UTF8");
  EXPECT_EQ(pools.run("SHOW jit").value(), "off");
  PostgresServer::shared().execute("ALTER ROLE worker RESET ALL");
}

}  // namespace
}  // namespace raymesh::testing
