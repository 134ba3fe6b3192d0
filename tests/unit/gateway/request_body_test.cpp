#include "services/gateway/request_body.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <random>

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

// Another parser decides the same about what is JSON, apart from numbers that do not fit 64 bits,
// which simdjson refuses.
TEST(RequestBodyTest, AgreesWithSimdjsonOnMutatedText) {
  std::mt19937 random(7);
  const std::string seed =
      R"({"a":[1,-2.5e3,true,false,null,{"b":"x\"\\\/\b\f\n\r\tA 0123456789"}],"c":"é","d":{}})";
  const std::string alphabet = "{}[]\",:\\ntrue0123456789.-+eEu \t\x1f\xc3\xa9";
  simdjson::dom::parser parser;
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = seed;
    for (int m = static_cast<int>(random() % 3); m >= 0; --m) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          text.erase(at, 1);
          break;
        default:
          text.insert(at, 1, alphabet[random() % alphabet.size()]);
      }
    }
    const auto error = parser.parse(text).error();
    if (error == simdjson::NUMBER_ERROR) continue;
    EXPECT_EQ(parse_json(text, kBodyRules).has_value(), error == simdjson::SUCCESS)
        << text << " " << error;
    accepted += error == simdjson::SUCCESS;
  }
  EXPECT_GT(accepted, 100);
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
