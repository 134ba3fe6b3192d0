#include "services/storage/query_builder.hpp"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/storage/sample_table.hpp"

namespace raymesh::storage {
namespace {

std::string rendered(const Statement& statement) {
  std::string out = statement.sql;
  for (const Parameter& p : statement.parameters) out += " | " + p.text.value_or("NULL");
  return out;
}

struct Built {
  std::string_view operation;
  std::string_view options;
  std::string_view sql;  // and the parameters, each after " | "
};

class QueryBuilderTest : public ::testing::TestWithParam<Built> {};

TEST_P(QueryBuilderTest, Builds) {
  const auto [operation, options, sql] = GetParam();
  const auto statement = build_query(operation, sample_table(), options);
  ASSERT_TRUE(statement.ok()) << options << ": " << statement.error().message;
  EXPECT_EQ(rendered(*statement), sql) << options;
}

INSTANTIATE_TEST_SUITE_P(
    Reads, QueryBuilderTest,
    ::testing::Values(
        Built{"find", "", R"(SELECT * FROM "p_dev"."things" LIMIT 1000)"},
        Built{"find", "{}", R"(SELECT * FROM "p_dev"."things" LIMIT 1000)"},
        Built{"findMany", R"({"where":null,"select":null,"orderBy":null,"include":null})",
              R"(SELECT * FROM "p_dev"."things" LIMIT 1000)"},
        Built{"find", R"({"select":[]})", R"(SELECT * FROM "p_dev"."things" LIMIT 1000)"},
        Built{"find", R"({"select":["id","we\"ird co","id"]})",
              R"(SELECT "id", "we""ird co" FROM "p_dev"."things" LIMIT 1000)"},
        Built{"find", R"({"orderBy":{"name":"desc","id":"asc"}})",
              R"(SELECT * FROM "p_dev"."things" ORDER BY "name" DESC, "id" ASC LIMIT 1000)"},
        Built{"find", R"({"orderBy":{}})", R"(SELECT * FROM "p_dev"."things" LIMIT 1000)"},
        Built{"find", R"({"orderBy":{"raw":"asc"}})",
              R"(SELECT * FROM "p_dev"."things" ORDER BY "raw"::jsonb ASC LIMIT 1000)"},
        Built{"find", R"({"limit":5,"offset":10})",
              R"(SELECT * FROM "p_dev"."things" LIMIT $1 OFFSET $2 | 5 | 10)"},
        Built{"find", R"({"limit":0})", R"(SELECT * FROM "p_dev"."things" LIMIT $1 | 0)"},
        Built{"find", R"({"limit":1001})", R"(SELECT * FROM "p_dev"."things" LIMIT $1 | 1000)"},
        Built{"find", R"({"limit":1e300,"offset":1e300})",
              R"(SELECT * FROM "p_dev"."things" LIMIT $1 OFFSET $2 | 1000 | 1000000000)"},
        Built{"find", R"({"limit":5.0})", R"(SELECT * FROM "p_dev"."things" LIMIT $1 | 5)"},
        Built{"find", R"({"include":[]})", R"(SELECT * FROM "p_dev"."things" LIMIT 1000)"},
        Built{"find", R"({"include":{}})", R"(SELECT * FROM "p_dev"."things" LIMIT 1000)"},
        Built{"findFirst", R"({"where":{"id":7},"limit":9,"offset":9})",
              R"(SELECT * FROM "p_dev"."things" WHERE "id" = $1 LIMIT 1 | 7)"},
        Built{"findOne", R"({"orderBy":{"id":"desc"}})",
              R"(SELECT * FROM "p_dev"."things" ORDER BY "id" DESC LIMIT 1)"},
        // The order of the members does not matter.
        Built{"find", R"({"limit":1,"where":{"id":7},"select":["id"]})",
              R"(SELECT "id" FROM "p_dev"."things" WHERE "id" = $1 LIMIT $2 | 7 | 1)"},
        Built{"count", "{}", R"(SELECT count(*) FROM "p_dev"."things")"},
        Built{"count", R"({"where":{"id":{"gt":1}},"limit":2,"orderBy":{"id":"asc"}})",
              R"(SELECT count(*) FROM "p_dev"."things" WHERE "id" > $1 | 1)"}));

INSTANTIATE_TEST_SUITE_P(
    Writes, QueryBuilderTest,
    ::testing::Values(
        Built{
            "insert", R"({"data":{"id":1,"name":null}})",
            R"(INSERT INTO "p_dev"."things" ("id", "name") VALUES ($1, $2) RETURNING "id" | 1 | NULL)"},
        Built{
            "update", R"({"where":{"id":1},"data":{"name":"x","done":true}})",
            R"(UPDATE "p_dev"."things" SET "name" = $1, "done" = $2 WHERE "id" = $3 | x | t | 1)"},
        Built{"update", R"({"where":{"id":[]},"data":{"name":"x"}})",
              R"(UPDATE "p_dev"."things" SET "name" = $1 WHERE FALSE | x)"},
        Built{"delete", R"({"where":{"id":1}})",
              R"(DELETE FROM "p_dev"."things" WHERE "id" = $1 | 1)"},
        Built{"delete", R"({"where":{"id":{"in":[]}}})",
              R"(DELETE FROM "p_dev"."things" WHERE FALSE)"}));

struct Refused {
  std::string_view operation;
  std::string_view options;
  std::string_view code;
};

class QueryBuilderRefusesTest : public ::testing::TestWithParam<Refused> {};

TEST_P(QueryBuilderRefusesTest, WithItsCode) {
  const auto [operation, options, code] = GetParam();
  const auto statement = build_query(operation, sample_table(), options);
  ASSERT_FALSE(statement.ok()) << options << " became " << statement->sql;
  EXPECT_EQ(statement.error().code(), code) << options << ": " << statement.error().message;
  EXPECT_EQ(statement.error().http_status(), 400);
}

INSTANTIATE_TEST_SUITE_P(
    Table, QueryBuilderRefusesTest,
    ::testing::Values(
        Refused{"", "{}", "invalid_operation"}, Refused{"Find", "{}", "invalid_operation"},
        Refused{"drop", "{}", "invalid_operation"}, Refused{"find", "{", "invalid_json"},
        Refused{"find", "{} x", "invalid_json"}, Refused{"find", "[]", "invalid_request"},
        Refused{"find", "null", "invalid_request"},
        Refused{"find", R"({"wher":{}})", "invalid_request"},
        Refused{"find", R"({"where":{},"where":{}})", "invalid_request"},
        Refused{"find", R"({"include":["posts"]})", "invalid_request"},
        Refused{"find", R"({"include":{"posts":true}})", "invalid_request"},
        Refused{"find", R"({"include":true})", "invalid_request"},
        Refused{"find", R"({"limit":null})", "invalid_request"},
        Refused{"find", R"({"limit":-1})", "invalid_request"},
        Refused{"find", R"({"limit":1.5})", "invalid_request"},
        Refused{"find", R"({"limit":"10"})", "invalid_request"},
        Refused{"find", R"({"limit":1e999})", "invalid_request"},
        Refused{"find", R"({"limit":[1]})", "invalid_request"},
        Refused{"find", R"({"limit":true})", "invalid_request"},
        Refused{"find", R"({"offset":null})", "invalid_request"},
        Refused{"find", R"({"offset":-5})", "invalid_request"},
        Refused{"find", R"({"offset":"0; drop table x"})", "invalid_request"},
        Refused{"find", R"({"select":"id"})", "invalid_request"},
        Refused{"find", R"({"select":{"id":true}})", "invalid_request"},
        Refused{"find", R"({"select":[1]})", "invalid_request"},
        Refused{"find", R"({"select":["*"]})", "unknown_column"},
        Refused{"find", R"x({"select":["id, (select 1)"]})x", "unknown_column"},
        Refused{"find", R"({"select":[""]})", "invalid_identifier"},
        Refused{"find", R"({"orderBy":"id"})", "invalid_request"},
        Refused{"find", R"({"orderBy":[{"id":"asc"}]})", "invalid_request"},
        Refused{"find", R"({"orderBy":{"id":"ASC"}})", "invalid_request"},
        Refused{"find", R"({"orderBy":{"id":1}})", "invalid_request"},
        Refused{"find", R"({"orderBy":{"id":"asc; drop"}})", "invalid_request"},
        Refused{"find", R"({"orderBy":{"nope":"asc"}})", "unknown_column"},
        Refused{"insert", "{}", "invalid_request"},
        Refused{"insert", R"({"data":{}})", "invalid_request"},
        Refused{"insert", R"({"data":[{"id":1}]})", "invalid_request"},
        Refused{"insert", R"({"data":null})", "invalid_request"},
        Refused{"insert", R"({"data":"x"})", "invalid_request"},
        Refused{"insert", R"({"data":{"nope":1}})", "unknown_column"},
        Refused{"insert", R"({"data":{"id":1,"id":2}})", "invalid_request"},
        Refused{"insert", R"({"data":{"id":{}}})", "invalid_value"},
        Refused{"insert", R"({"data":{"id":1.5}})", "invalid_value"},
        Refused{"insert", R"({"data":{"id":1},"limit":1})", "invalid_request"},
        Refused{"update", R"({"data":{"id":1}})", "condition_required"},
        Refused{"update", R"({"data":{"id":1},"where":null})", "condition_required"},
        Refused{"update", R"({"data":{"id":1},"where":{}})", "condition_required"},
        Refused{"update", R"({"data":{"id":1},"where":{"id":{}}})", "condition_required"},
        Refused{"update", R"({"data":{"id":1},"where":{"name":{"mode":"default"}}})",
                "condition_required"},
        Refused{"update", R"({"where":{"id":1}})", "invalid_request"},
        Refused{"update", R"({"where":{"id":1},"data":{}})", "invalid_request"},
        Refused{"update", R"({"where":{"id":1},"data":{"name":"x"},"limit":1})", "invalid_request"},
        Refused{"delete", "", "condition_required"}, Refused{"delete", "{}", "condition_required"},
        Refused{"delete", R"({"where":{}})", "condition_required"},
        Refused{"delete", R"({"where":{"id":{}}})", "condition_required"},
        Refused{"delete", R"({"where":{"OR":[]}})", "condition_required"},
        Refused{"delete", R"({"where":{"AND":[]}})", "condition_required"},
        Refused{"delete", R"({"where":{"AND":[{},{"OR":[]}]}})", "condition_required"},
        Refused{"delete", R"({"where":{"NOT":{}}})", "condition_required"},
        Refused{"delete", R"({"where":{"OR":[{"id":1},{}]}})", "condition_required"},
        Refused{"delete", R"({"where":{"id":{"notIn":[]}}})", "condition_required"},
        Refused{"delete", R"({"where":{"id":{"not":[]}}})", "condition_required"},
        Refused{"delete", R"({"where":{"NOT":{"id":{"in":[]}}}})", "condition_required"},
        Refused{"delete", R"({"where":{"id":1},"offset":1})", "invalid_request"}));

TEST(QueryBuilderTest, TellsTheShapeAndWhetherItWrites) {
  const auto shape = [](std::string_view operation, std::string_view options) {
    const auto statement = build_query(operation, sample_table(), options);
    return std::pair(statement->shape, statement->is_write);
  };
  EXPECT_EQ(shape("find", ""), std::pair(ResultShape::kRows, false));
  EXPECT_EQ(shape("findFirst", ""), std::pair(ResultShape::kFirstRow, false));
  EXPECT_EQ(shape("count", ""), std::pair(ResultShape::kCountValue, false));
  EXPECT_EQ(shape("insert", R"({"data":{"id":1}})"), std::pair(ResultShape::kInsertedId, true));
  EXPECT_EQ(shape("update", R"({"data":{"id":1},"where":{"id":2}})"),
            std::pair(ResultShape::kAffectedCount, true));
  EXPECT_EQ(shape("delete", R"({"where":{"id":2}})"), std::pair(ResultShape::kAffectedCount, true));
}

TEST(QueryBuilderTest, ReturnsTheWholeRowWhereTheIdMayBeMissing) {
  TableInfo table{"p_dev", "t", {{"id", oid::kInt4, 0, 'N', 0, false}}};
  EXPECT_TRUE(build_query("insert", table, R"({"data":{"id":1}})")->sql.ends_with("RETURNING *"));
  table.columns[0].name = "key";
  EXPECT_TRUE(build_query("insert", table, R"({"data":{"key":1}})")->sql.ends_with("RETURNING *"));
}

TEST(QueryBuilderTest, QuotesSchemaAndTable) {
  const TableInfo table{"p_a-b", "user\"profiles", {{"id", oid::kInt4, 0, 'N', 0, true}}};
  EXPECT_EQ(build_query("count", table, "")->sql,
            R"(SELECT count(*) FROM "p_a-b"."user""profiles")");
}

TEST(QueryBuilderTest, NamesAnUnknownOption) {
  const auto statement = build_query("find", sample_table(), R"({"sort":1})");
  ASSERT_FALSE(statement.ok());
  EXPECT_EQ(statement.error().message, "Unknown option: \"sort\"");
}

TEST(QueryBuilderTest, SameShapeIsTheSameText) {
  const auto sql = [](std::string_view options) {
    return build_query("find", sample_table(), options)->sql;
  };
  EXPECT_EQ(sql(R"({"where":{"id":1},"limit":10,"offset":20})"),
            sql(R"({"where":{"id":99},"limit":100,"offset":0})"));
}

}  // namespace
}  // namespace raymesh::storage
