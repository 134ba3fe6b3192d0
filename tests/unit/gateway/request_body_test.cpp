#include "services/gateway/request_body.hpp"

#include <gtest/gtest.h>

namespace raymesh::gateway {
namespace {

std::string_view code_of(std::string_view body) {
  auto result = read_db_body(body);
  return result.ok() ? std::string_view("ok") : result.error().code();
}

TEST(DbBodyTest, TakesOperationTableAndRawOptions) {
  auto body = read_db_body(
      R"({"operation":"find","tableName":"user-profiles","options":{ "where":{"n":1.0e2}, "x" : [ ] }})");
  ASSERT_TRUE(body.ok());
  EXPECT_EQ(body->operation, "find");
  EXPECT_EQ(body->table, "user-profiles");
  EXPECT_EQ(body->options, R"({ "where":{"n":1.0e2}, "x" : [ ] })");
}

TEST(DbBodyTest, OptionsMayBeMissingOrNull) {
  EXPECT_EQ(read_db_body(R"({"operation":"find","tableName":"t"})")->options, "");
  EXPECT_EQ(read_db_body(R"({"operation":"find","tableName":"t","options":null})")->options, "");
}

TEST(DbBodyTest, MembersItDoesNotKnowAreCheckedAndIgnored) {
  EXPECT_EQ(code_of(R"({"operation":"find","tableName":"t","more":{"a":[1,2]}})"), "ok");
  EXPECT_EQ(code_of(R"({"operation":"find","tableName":"t","more":{"a":[1,2}})"), "invalid_json");
  EXPECT_EQ(code_of(R"({"operation":"find","tableName":"t","options":{"a":tru}})"), "invalid_json");
  EXPECT_EQ(code_of(R"({"operation":"find","tableName":"t"} x)"), "invalid_json");
}

TEST(DbBodyTest, RefusesWhatIsMissingOrOfAnotherType) {
  for (auto text : {"", "{}", R"({"operation":"find"})", R"({"tableName":"t"})",
                    R"({"operation":"","tableName":"t"})", R"({"operation":1,"tableName":"t"})",
                    R"({"operation":"find","tableName":null})", "[]", "null", "\"x\"",
                    R"({"operation":"find","tableName":"t","options":[]})",
                    R"({"operation":"find","tableName":"t","options":"x"})"})
    EXPECT_EQ(code_of(text), "invalid_request") << text;
  EXPECT_EQ(read_db_body("{}").error().message, "Operation and tableName are required");
}

TEST(DbBodyTest, RefusesTheSameMemberTwice) {
  EXPECT_EQ(code_of(R"({"operation":"find","tableName":"t","operation":"delete"})"),
            "invalid_request");
  EXPECT_EQ(code_of(R"({"operation":"find","tableName":"t","options":{},"\u006fptions":{}})"),
            "invalid_request");
}

TEST(RequestBodyTest, ReadsNumbersAndSeconds) {
  Member members[] = {{"a"}, {"b"}, {"c"}, {"d"}};
  ASSERT_TRUE(read_members(R"({"a":1.9,"b":"2","c":-1e1,"d":1e999})", members).ok());
  EXPECT_EQ(number_of(members[0]), 1.9);
  EXPECT_EQ(number_of(members[1]), std::nullopt);
  EXPECT_EQ(number_of(members[2]), -10);
  EXPECT_EQ(number_of(members[3]), std::nullopt);
  EXPECT_EQ(whole_seconds(1.9), 1u);
  EXPECT_EQ(whole_seconds(0.2), 1u);
  EXPECT_EQ(whole_seconds(0), 0u);
  EXPECT_EQ(whole_seconds(-5), 0u);
  EXPECT_EQ(whole_seconds(1e300), 3'153'600'000u);
}

}  // namespace
}  // namespace raymesh::gateway
