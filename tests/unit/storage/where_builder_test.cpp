#include "services/storage/where_builder.hpp"

#include <gtest/gtest.h>

#include <string>

#include "services/storage/query_builder.hpp"
#include "tests/unit/storage/sample_table.hpp"

namespace raymesh::storage {
namespace {

Result<Statement> build(std::string_view where) {
  return build_query(Operation::kCount, sample_table(), "{\"where\":" + std::string(where) + "}");
}

std::string rendered(const Statement& statement) {
  constexpr std::string_view kPrefix = R"(SELECT count(*) FROM "p_dev"."things")";
  std::string out = statement.sql.substr(kPrefix.size());
  if (out.starts_with(" WHERE ")) out.erase(0, 7);
  for (const Parameter& p : statement.parameters) out += " | " + p.text.value_or("NULL");
  return out;
}

struct Compiled {
  std::string_view where;
  std::string_view sql;  // and the parameters, each after " | "
};

class WhereBuilderTest : public ::testing::TestWithParam<Compiled> {};

TEST_P(WhereBuilderTest, Compiles) {
  const auto [where, sql] = GetParam();
  const auto statement = build(where);
  ASSERT_TRUE(statement.ok()) << where << ": " << statement.error().message;
  EXPECT_EQ(rendered(*statement), sql) << where;
}

INSTANTIATE_TEST_SUITE_P(
    Shorthands, WhereBuilderTest,
    ::testing::Values(
        Compiled{"{}", ""}, Compiled{"null", ""}, Compiled{R"({"id":1})", R"("id" = $1 | 1)"},
        Compiled{R"({"id":1,"name":"x"})", R"("id" = $1 AND "name" = $2 | 1 | x)"},
        Compiled{R"({"id":1,"id":2})", R"("id" = $1 AND "id" = $2 | 1 | 2)"},
        Compiled{R"({"name":null})", R"("name" IS NULL)"},
        Compiled{R"({"id":[1,2]})", R"("id" = ANY($1) | {"1","2"})"},
        Compiled{R"({"id":[null]})", R"("id" = ANY($1) | {NULL})"},
        Compiled{R"({"id":[]})", "FALSE"}, Compiled{R"({"id":{}})", ""},
        Compiled{R"({"we\"ird co":1})", R"("we""ird co" = $1 | 1)"},
        Compiled{R"({"n\u0061me":"x"})", R"("name" = $1 | x)"},
        Compiled{R"({"meta":[1,{"a":2}]})", R"("meta" = ANY($1) | {"1","{\"a\":2}"})"},
        Compiled{R"({"meta":{"a":1}})", R"("meta" = $1 | {"a":1})"}, Compiled{R"({"meta":{}})", ""},
        Compiled{R"({"raw":"x"})", R"("raw"::jsonb = $1 | "x")"},
        Compiled{R"({"tags":["a"]})", R"("tags" = $1 | {"a"})"},
        Compiled{R"({"tags":[]})", R"("tags" = $1 | {})"}));

INSTANTIATE_TEST_SUITE_P(
    Operators, WhereBuilderTest,
    ::testing::Values(Compiled{R"({"id":{"equals":1}})", R"("id" = $1 | 1)"},
                      Compiled{R"({"id":{"eq":1}})", R"("id" = $1 | 1)"},
                      Compiled{R"({"id":{"equals":null}})", R"("id" IS NULL)"},
                      Compiled{R"({"id":{"eq":null}})", R"("id" IS NULL)"},
                      Compiled{R"({"id":{"not":1}})", R"("id" <> $1 | 1)"},
                      Compiled{R"({"id":{"not":null}})", R"("id" IS NOT NULL)"},
                      Compiled{R"({"id":{"not":[1,2]}})", R"("id" <> ALL($1) | {"1","2"})"},
                      Compiled{R"({"id":{"not":[]}})", ""},
                      Compiled{R"({"tags":{"not":["a"]}})", R"("tags" <> $1 | {"a"})"},
                      Compiled{R"({"id":{"gt":1}})", R"("id" > $1 | 1)"},
                      Compiled{R"({"id":{"gte":1}})", R"("id" >= $1 | 1)"},
                      Compiled{R"({"id":{"lt":1}})", R"("id" < $1 | 1)"},
                      Compiled{R"({"id":{"lte":1}})", R"("id" <= $1 | 1)"},
                      Compiled{R"({"id":{"gt":null}})", R"("id" > $1 | NULL)"},
                      Compiled{R"({"id":{"gt":1,"lt":9,"not":5}})",
                               R"("id" > $1 AND "id" < $2 AND "id" <> $3 | 1 | 9 | 5)"},
                      Compiled{R"({"id":{"gt":1.5}})", R"("id" > $1::numeric | 1.5)"},
                      Compiled{R"({"ratio":{"gt":1.5}})", R"("ratio" > $1 | 1.5)"},
                      Compiled{R"({"id":{"in":[1,2]}})", R"("id" = ANY($1) | {"1","2"})"},
                      Compiled{R"({"id":{"in":[]}})", "FALSE"},
                      Compiled{R"({"id":{"in":5}})", "FALSE"},
                      Compiled{R"({"id":{"notIn":[1]}})", R"("id" <> ALL($1) | {"1"})"},
                      Compiled{R"({"id":{"notIn":[]}})", ""}, Compiled{R"({"id":{"notIn":5}})", ""},
                      Compiled{R"({"tags":{"in":[["a"],null]}})",
                               R"("tags" IN ($1, $2) | {"a"} | NULL)"},
                      Compiled{R"({"tags":{"notIn":[["a"]]}})", R"("tags" NOT IN ($1) | {"a"})"},
                      Compiled{R"({"meta":{"equals":{"a":1}}})", R"("meta" = $1 | {"a":1})"},
                      Compiled{R"({"meta":{"equals":[1]}})", R"("meta" = $1 | [1])"},
                      Compiled{R"({"meta":{"not":{"in":1}}})", R"("meta" <> $1 | {"in":1})"},
                      Compiled{R"({"raw":{"gt":1}})", R"("raw"::jsonb > $1 | 1)"}));

INSTANTIATE_TEST_SUITE_P(
    Patterns, WhereBuilderTest,
    ::testing::Values(
        Compiled{R"({"name":{"contains":"a"}})", R"("name" LIKE $1 | %a%)"},
        Compiled{R"({"name":{"startsWith":"a"}})", R"("name" LIKE $1 | a%)"},
        Compiled{R"({"name":{"endsWith":"a"}})", R"("name" LIKE $1 | %a)"},
        Compiled{R"({"name":{"contains":"a","mode":"insensitive"}})", R"("name" ILIKE $1 | %a%)"},
        Compiled{R"({"name":{"mode":"insensitive","endsWith":"a"}})", R"("name" ILIKE $1 | %a)"},
        Compiled{R"({"name":{"mode":"default","endsWith":"a"}})", R"("name" LIKE $1 | %a)"},
        Compiled{R"({"name":{"mode":"insensitive"}})", ""},
        Compiled{R"({"name":{"mode":"insensitive","equals":"A"}})", R"("name" = $1 | A)"},
        Compiled{R"({"name":{"contains":"50%_\\"}})", R"("name" LIKE $1 | %50\%\_\\%)"},
        Compiled{R"({"name":{"contains":""}})", R"("name" LIKE $1 | %%)"},
        Compiled{R"({"code":{"contains":5}})", R"("code" LIKE $1 | %5%)"}));

INSTANTIATE_TEST_SUITE_P(
    Logic, WhereBuilderTest,
    ::testing::Values(
        Compiled{R"({"AND":[]})", ""}, Compiled{R"({"OR":[]})", ""}, Compiled{R"({"NOT":{}})", ""},
        Compiled{R"({"AND":[{}]})", ""}, Compiled{R"({"OR":[{}]})", ""},
        Compiled{R"({"AND":[{},{"id":1},{}]})", R"("id" = $1 | 1)"},
        Compiled{R"({"AND":[{"id":1},{"name":"x"}]})", R"("id" = $1 AND "name" = $2 | 1 | x)"},
        Compiled{R"({"OR":[{"id":1},{"name":"x"}]})", R"(("id" = $1 OR "name" = $2) | 1 | x)"},
        Compiled{R"({"OR":[{"id":1}]})", R"("id" = $1 | 1)"},
        Compiled{R"({"OR":[{"id":1,"name":"x"},{"id":2}]})",
                 R"(("id" = $1 AND "name" = $2 OR "id" = $3) | 1 | x | 2)"},
        // A member without a condition matches every row, and so does the OR around it.
        Compiled{R"({"OR":[{"id":1},{}]})", ""},
        Compiled{R"({"name":"x","OR":[{"id":1},{}]})", R"("name" = $1 | x)"},
        Compiled{R"({"OR":[{"id":1},{"id":{"notIn":[]}}],"name":"x"})", R"("name" = $1 | x)"},
        Compiled{R"({"OR":[{"id":{"in":[]}},{"id":2}]})", R"("id" = $1 | 2)"},
        Compiled{R"({"OR":[{"id":{"in":[]}}]})", "FALSE"},
        Compiled{R"({"AND":[{"id":1},{"id":{"in":[]}}]})", "FALSE"},
        Compiled{R"({"name":"x","AND":[{"id":1},{"id":[]}]})", "FALSE"},
        Compiled{R"({"id":{"gt":1,"in":[]}})", "FALSE"},
        Compiled{R"({"NOT":{"id":1}})", R"(NOT ("id" = $1) | 1)"},
        Compiled{R"({"NOT":{"id":1,"name":"x"}})", R"(NOT ("id" = $1 AND "name" = $2) | 1 | x)"},
        Compiled{R"({"NOT":{"id":{"in":[]}}})", ""},
        Compiled{R"({"NOT":{"id":{"notIn":[]}}})", "FALSE"},
        Compiled{R"({"NOT":{"NOT":{"id":1}}})", R"(NOT (NOT ("id" = $1)) | 1)"},
        Compiled{R"({"NOT":{"OR":[{"id":1},{"id":2}]}})",
                 R"(NOT (("id" = $1 OR "id" = $2)) | 1 | 2)"},
        Compiled{R"({"AND":[{"OR":[{"id":1},{"id":2}]},{"OR":[{"name":"a"},{"name":"b"}]}]})",
                 R"(("id" = $1 OR "id" = $2) AND ("name" = $3 OR "name" = $4) | 1 | 2 | a | b)"},
        Compiled{R"({"OR":[{"AND":[{"id":1},{"id":[]}]},{"name":"a"}],"code":"c"})",
                 R"("name" = $1 AND "code" = $2 | a | c)"}));

struct Refused {
  std::string_view where;
  std::string_view code;
};

class WhereBuilderRefusesTest : public ::testing::TestWithParam<Refused> {};

TEST_P(WhereBuilderRefusesTest, WithItsCode) {
  const auto [where, code] = GetParam();
  const auto statement = build(where);
  ASSERT_FALSE(statement.ok()) << where << " became " << statement->sql;
  EXPECT_EQ(statement.error().code(), code) << where;
  EXPECT_EQ(statement.error().http_status(), 400);
}

INSTANTIATE_TEST_SUITE_P(
    Table, WhereBuilderRefusesTest,
    ::testing::Values(
        Refused{"5", "invalid_filter"}, Refused{"[]", "invalid_filter"},
        Refused{"\"id = 1\"", "invalid_filter"}, Refused{R"({"AND":{}})", "invalid_filter"},
        Refused{R"({"AND":[1]})", "invalid_filter"}, Refused{R"({"AND":[[]]})", "invalid_filter"},
        Refused{R"({"AND":null})", "invalid_filter"}, Refused{R"({"OR":{}})", "invalid_filter"},
        Refused{R"({"OR":[null]})", "invalid_filter"}, Refused{R"({"NOT":[]})", "invalid_filter"},
        Refused{R"({"NOT":null})", "invalid_filter"}, Refused{R"({"NOT":1})", "invalid_filter"},
        Refused{R"({"nope":1})", "unknown_column"}, Refused{R"({"ID":1})", "unknown_column"},
        Refused{R"({"id; drop table x":1})", "unknown_column"},
        Refused{R"({"\"id\"":1})", "unknown_column"}, Refused{R"({"":1})", "invalid_identifier"},
        Refused{R"({"a\u0000":1})", "invalid_identifier"},
        Refused{R"({"id":{"foo":1}})", "unsupported_operator"},
        Refused{R"({"id":{"= 1 OR 1":1}})", "unsupported_operator"},
        Refused{R"({"id":{"GT":1}})", "unsupported_operator"},
        Refused{R"({"id":{"contains":"a"}})", "unsupported_operator"},
        Refused{R"({"meta":{"contains":"a"}})", "unsupported_operator"},
        Refused{R"({"tags":{"contains":"a"}})", "unsupported_operator"},
        Refused{R"({"meta":{"a":1,"equals":2}})", "unsupported_operator"},
        Refused{R"({"name":{"contains":null}})", "invalid_value"},
        Refused{R"({"name":{"contains":["a"]}})", "invalid_value"},
        Refused{R"({"name":{"startsWith":true}})", "invalid_value"},
        Refused{R"({"name":{"contains":"\u0000"}})", "invalid_value"},
        Refused{R"({"name":{"contains":"a","mode":"loud"}})", "invalid_filter"},
        Refused{R"({"name":{"mode":null}})", "invalid_filter"},
        Refused{R"({"id":{"equals":[1]}})", "invalid_value"},
        Refused{R"({"id":{"gt":{}}})", "invalid_value"}, Refused{R"({"id":true})", "invalid_value"},
        Refused{R"({"id":[1.5]})", "invalid_value"}, Refused{R"({"id":[[1]]})", "invalid_value"},
        Refused{R"({"name":{"equals":{"gt":1}}})", "invalid_value"},
        Refused{R"({"OR":[{"id":1},{"nope":2}]})", "unknown_column"}));

std::string repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST(WhereBuilderBoundsTest, DepthOfConditions) {
  const auto nested = [](int depth) {
    return repeat(R"({"NOT":)", depth) + R"({"id":1})" + repeat("}", depth);
  };
  EXPECT_TRUE(build(nested(20)).ok());
  EXPECT_FALSE(build(nested(21)).ok());
  EXPECT_FALSE(build(repeat(R"({"AND":[)", 100'000)).ok());
}

TEST(WhereBuilderBoundsTest, NumberOfConditions) {
  const auto many = [](int count) {
    return R"({"OR":[)" + repeat(R"({"id":1},)", count - 1) + R"({"id":1}]})";
  };
  EXPECT_TRUE(build(many(1000)).ok());
  EXPECT_EQ(build(many(1001)).error().code(), "invalid_filter");
  EXPECT_EQ(build(R"({"tags":{"in":[)" + repeat("[],", 1000) + "[]]}}").error().code(),
            "invalid_filter");
}

TEST(WhereBuilderBoundsTest, ListMembers) {
  const auto list = [](int count) { return R"({"id":[)" + repeat("1,", count - 1) + "1]}"; };
  EXPECT_TRUE(build(list(10'000)).ok());
  EXPECT_EQ(build(list(10'001)).error().code(), "invalid_filter");
}

TEST(WhereBuilderTest, TextDoesNotDependOnValuesOrLengths) {
  EXPECT_EQ(build(R"({"id":[1]})")->sql, build(R"({"id":[1,2,3,4]})")->sql);
  EXPECT_EQ(build(R"({"name":{"contains":"a"}})")->sql, build(R"({"name":{"contains":"%"}})")->sql);
}

}  // namespace
}  // namespace raymesh::storage
