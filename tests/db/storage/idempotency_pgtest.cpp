// Writes with an idempotency key, on a real server: once, and the same answer for who asks again.
#include <gtest/gtest.h>

#include <thread>

#include "services/storage/idempotency.hpp"
#include "tests/db/storage/migrate_harness.hpp"

namespace raymesh::testing {
namespace {

class IdempotencyTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    project_ = TestProject::create("idem");
    other_ = TestProject::create("idem2");
    for (const TestProject& project : {project_, other_})
      project.execute(
          "CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
          " number text UNIQUE, paid bool, at timestamptz, tags text[], raw bytea);"
          "CREATE TABLE noid (a int, b text, c bool, d timestamptz, e bytea, f text[], g jsonb,"
          " h numeric, i bigint)");
  }
  void TearDown() override {
    for (const TestProject& project : {project_, other_}) project.execute("TRUNCATE orders, noid");
    PostgresServer::shared().execute("TRUNCATE raymesh_storage.kept_results");
  }

  /// The answer, or "<code>: <message>".
  std::string write(const std::string& operation, const std::string& table,
                    const std::string& options, const std::string& key,
                    const std::string& user = {}, const TestProject& project = project_) {
    auto result = storage_.submit(project, operation, table, options, key, user).get();
    if (result.ok()) return *result;
    return std::string(result.error().code()) + ": " + result.error().message;
  }
  std::string count(const std::string& table, const TestProject& project = project_) {
    return storage_.text(project, "count", table);
  }
  static int64_t kept() {
    return std::stoll(
        *PostgresServer::shared().query("SELECT count(*) FROM raymesh_storage.kept_results"));
  }

  static inline TestProject project_, other_;
  StorageHarness storage_;
};

TEST_F(IdempotencyTest, AnInsertIsDoneOnceAndAnsweredAlike) {
  const std::string first = write("insert", "orders", R"({"data":{"number":"a"}})", "k");
  EXPECT_EQ(first.substr(0, 6), "{\"id\":");
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(write("insert", "orders", R"({"data":{"number":"a"}})", "k"), first);
  EXPECT_EQ(count("orders"), "1");
  EXPECT_EQ(kept(), 1);
  // Without a key it is another request, as ever.
  EXPECT_EQ(storage_.code(project_, "insert", "orders", R"({"data":{"number":"a"}})"),
            "unique_violation");
}

TEST_F(IdempotencyTest, AWholeRowIsAnsweredAlike) {
  const std::string data =
      R"({"data":{"a":1,"b":"x \"y\" ö","c":true,"d":"2024-02-29T12:00:00.123Z","e":"AAEC","f":["p","q,r"],)"
      R"("g":{"z":[1,null]},"h":"12345678901234567890.5","i":"9007199254740993"}})";
  const std::string plain = storage_.text(project_, "insert", "noid", data);
  const std::string first = write("insert", "noid", data, "whole");
  EXPECT_EQ(first, plain) << "a key changes no answer";
  EXPECT_EQ(write("insert", "noid", data, "whole"), first);
  const std::string nulls = R"({"data":{"a":null}})";
  const std::string empty = write("insert", "noid", nulls, "nulls");
  EXPECT_EQ(empty, storage_.text(project_, "insert", "noid", nulls));
  EXPECT_EQ(write("insert", "noid", nulls, "nulls"), empty);
  EXPECT_EQ(count("noid"), "4");
}

TEST_F(IdempotencyTest, UpdatesAndDeletesAreDoneOnce) {
  for (const char* number : {"a", "b", "c"})
    (void)storage_.text(project_, "insert", "orders",
                        R"({"data":{"number":")" + std::string(number) + R"("}})");
  const std::string pay = R"({"where":{"number":"a"},"data":{"paid":true}})";
  EXPECT_EQ(write("update", "orders", pay, "pay"), R"({"count":1})");
  (void)storage_.text(project_, "update", "orders",
                      R"({"where":{"number":"a"},"data":{"paid":false}})");
  EXPECT_EQ(write("update", "orders", pay, "pay"), R"({"count":1})");
  EXPECT_EQ(storage_.text(project_, "count", "orders", R"({"where":{"paid":true}})"), "0");
  const std::string remove = R"({"where":{"number":{"in":["b","c"]}}})";
  EXPECT_EQ(write("delete", "orders", remove, "gone"), R"({"count":2})");
  EXPECT_EQ(write("delete", "orders", remove, "gone"), R"({"count":2})");
  const std::string nobody = R"({"where":{"number":"nobody"}})";
  EXPECT_EQ(write("delete", "orders", nobody, "nobody"), R"({"count":0})");
  (void)storage_.text(project_, "insert", "orders", R"({"data":{"number":"nobody"}})");
  EXPECT_EQ(write("delete", "orders", nobody, "nobody"), R"({"count":0})");
  EXPECT_EQ(count("orders"), "2");
}

TEST_F(IdempotencyTest, AnotherRequestWithTheKeyIsRefused) {
  write("insert", "orders", R"({"data":{"number":"a"}})", "k");
  const std::string conflict =
      "idempotency_conflict: the idempotency key 'k' was used for another request";
  EXPECT_EQ(write("insert", "orders", R"({"data":{"number":"b"}})", "k"), conflict);
  EXPECT_EQ(write("insert", "noid", R"({"data":{"b":"a"}})", "k"), conflict);
  EXPECT_EQ(write("delete", "orders", R"({"where":{"number":"a"}})", "k"), conflict);
  EXPECT_EQ(count("orders"), "1");
}

TEST_F(IdempotencyTest, AKeyIsOfAProjectAndAUser) {
  const std::string a = R"({"data":{"number":"a"}})", b = R"({"data":{"number":"b"}})";
  EXPECT_EQ(write("insert", "orders", a, "k").substr(0, 5), "{\"id\"");
  EXPECT_EQ(write("insert", "orders", b, "k", "ada").substr(0, 5), "{\"id\"");
  EXPECT_EQ(write("insert", "orders", b, "k", {}, other_).substr(0, 5), "{\"id\"");
  EXPECT_EQ(count("orders"), "2");
  EXPECT_EQ(count("orders", other_), "1");
}

TEST_F(IdempotencyTest, WhatFailedMayBeTriedAgain) {
  EXPECT_EQ(
      write("insert", "orders", R"({"data":{"number":"a","at":"no time"}})", "k").substr(0, 13),
      "invalid_value");
  (void)storage_.text(project_, "insert", "orders", R"({"data":{"number":"a"}})");
  const std::string insert = R"({"data":{"number":"a"}})";
  EXPECT_EQ(write("insert", "orders", insert, "k").substr(0, 16), "unique_violation");
  EXPECT_EQ(kept(), 0);
  (void)storage_.text(project_, "delete", "orders", R"({"where":{"number":"a"}})");
  const std::string done = write("insert", "orders", insert, "k");
  EXPECT_EQ(done.substr(0, 5), "{\"id\"");
  EXPECT_EQ(write("insert", "orders", insert, "k"), done);
}

TEST_F(IdempotencyTest, ManyAtOnceAreOne) {
  for (int round = 0; round < 20; ++round) {
    // With a constraint of the table in the way, and without.
    const std::string n = std::to_string(round);
    const std::string unique = R"({"data":{"number":")" + n + R"("}})";
    const std::string free = R"({"data":{"a":)" + n + "}}";
    std::vector<std::future<Result<std::string>>> first, second;
    for (int i = 0; i < 8; ++i) {
      first.push_back(storage_.submit(project_, "insert", "orders", unique, "u" + n));
      second.push_back(storage_.submit(project_, "insert", "noid", free, "f" + n));
    }
    for (auto* group : {&first, &second}) {
      std::string answer;
      for (auto& one : *group) {
        const auto result = one.get();
        ASSERT_TRUE(result.ok()) << result.error().message;
        if (answer.empty()) answer = *result;
        EXPECT_EQ(*result, answer);
      }
    }
  }
  EXPECT_EQ(count("orders"), "20");
  EXPECT_EQ(count("noid"), "20");
}

TEST_F(IdempotencyTest, ARowThatATriggerSwallowsIsAnsweredAlike) {
  project_.execute(
      "CREATE TABLE seen (n int);"
      "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS"
      " $$ BEGIN INSERT INTO p_idem.seen VALUES (1); RETURN NULL; END $$;"
      "CREATE TABLE swallowed (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int);"
      "CREATE TRIGGER t BEFORE INSERT ON swallowed FOR EACH ROW EXECUTE FUNCTION swallow()");
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(write("insert", "swallowed", R"({"data":{"a":1}})", "k"), R"({"id":null})");
  EXPECT_EQ(count("seen"), "1") << "the trigger ran once";
  project_.execute("DROP TABLE swallowed, seen; DROP FUNCTION swallow()");
}

TEST_F(IdempotencyTest, AfterADayItIsForgotten) {
  const std::string insert = R"({"data":{"a":1}})";
  write("insert", "noid", insert, "k");
  PostgresServer::shared().execute(
      "UPDATE raymesh_storage.kept_results SET kept_at = now() - interval '24 hours 1 second'");
  write("insert", "noid", R"({"data":{"a":2}})", "k");
  EXPECT_EQ(count("noid"), "2");
  EXPECT_EQ(kept(), 1);
  PostgresServer::shared().execute(
      "UPDATE raymesh_storage.kept_results SET kept_at = now() - interval '25 hours'");
  PostgresServer::shared().execute(std::string(storage::kSweepKeptSql));
  EXPECT_EQ(kept(), 0);
}

TEST_F(IdempotencyTest, ReadsMayHaveAKey) {
  for (const char* operation : {"find", "findFirst", "count"}) {
    EXPECT_EQ(write(operation, "noid", "{}", "k"), storage_.text(project_, operation, "noid"));
  }
  EXPECT_EQ(kept(), 0);
}

TEST_F(IdempotencyTest, ABadKeyIsRefused) {
  const std::string data = R"({"data":{"a":1}})";
  for (const std::string& key :
       {std::string(256, 'x'), std::string("a\nb"), std::string("\xc3\xb6"), std::string("\0", 1)})
    EXPECT_EQ(write("insert", "noid", data, key).substr(0, 15), "invalid_request") << key;
  EXPECT_EQ(write("insert", "noid", data, std::string(255, 'x')).substr(0, 5), "{\"id\"");
  EXPECT_EQ(write("insert", "noid", data, R"(' "; DROP TABLE noid; --)").substr(0, 5), "{\"id\"");
  EXPECT_EQ(count("noid"), "2");
}

TEST_F(IdempotencyTest, AProjectReachesNothingOfTheOthers) {
  write("insert", "orders", R"({"data":{"number":"secret"}})", "k", {}, other_);
  auto refused = [](const std::string& sql) {
    try {
      project_.execute(sql);
      return std::string("done");
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
  };
  for (const char* sql :
       {"SELECT * FROM raymesh_storage.kept_results", "DELETE FROM raymesh_storage.kept_results",
        "SELECT * FROM raymesh_storage.projects", "CREATE TABLE raymesh_storage.mine (a int)"})
    EXPECT_NE(refused(sql).find("permission denied"), std::string::npos) << sql;
  const auto outcome =
      migrate(project_,
              "DO $$ BEGIN IF EXISTS (SELECT FROM raymesh_storage.kept_result('', 'k')) THEN"
              " RAISE EXCEPTION 'seen'; END IF; END $$");
  EXPECT_TRUE(outcome.ok()) << outcome_text(outcome);
}

TEST_F(IdempotencyTest, AStateOfTheProjectsOwnIsNotTakenForOurs) {
  project_.execute(
      "CREATE FUNCTION forge() RETURNS trigger LANGUAGE plpgsql AS"
      " $$ BEGIN RAISE EXCEPTION 'mine' USING ERRCODE = 'RM001'; END $$;"
      "CREATE TABLE forged (a int);"
      "CREATE TRIGGER t BEFORE INSERT ON forged FOR EACH ROW EXECUTE FUNCTION forge()");
  EXPECT_EQ(storage_.text(project_, "insert", "forged", R"({"data":{"a":1}})"),
            "database_error: mine");
  project_.execute("DROP TABLE forged; DROP FUNCTION forge()");
}

TEST_F(IdempotencyTest, AMigrationIsRunOnce) {
  auto run = [](const std::string& sql, const std::string& key) {
    auto request = migrate_request(project_);
    request.idempotency = {{}, key, storage::request_hash({"migrate", sql})};
    return storage::migrate(request, sql);
  };
  const std::string sql =
      "CREATE TABLE once (a int); DO $$ BEGIN RAISE NOTICE 'hello'; END $$; INSERT INTO once "
      "VALUES (1)";
  for (int i = 0; i < 2; ++i) {
    const auto outcome = run(sql, "m");
    ASSERT_TRUE(outcome.ok()) << outcome_text(outcome);
    EXPECT_EQ(outcome->executed_statements, 3u);
    EXPECT_EQ(outcome->warnings, std::vector<std::string>{"hello"});
  }
  EXPECT_EQ(count("once"), "1");
  EXPECT_EQ(outcome_text(run("CREATE TABLE twice (a int)", "m")).substr(0, 20),
            "idempotency_conflict");
  // What failed has kept nothing.
  EXPECT_FALSE(run("CREATE TABLE once (a int)", "n").ok());
  EXPECT_TRUE(run("DROP TABLE once", "n").ok());
}

}  // namespace
}  // namespace raymesh::testing
