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

  static Result<pg::Login> login(const std::string&) {
    pg::Login l;
    l.server = PostgresServer::shared().server_url();
    l.user = "worker";
    l.password = "secret";
    l.schema = "s";
    return l;
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

}  // namespace
}  // namespace raymesh::testing
