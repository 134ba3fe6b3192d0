#include "services/storage/value_binder.hpp"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/storage/sample_table.hpp"

namespace raymesh::storage {
namespace {

Result<std::optional<std::string>> bound_text(std::string_view column, std::string_view json) {
  const Column* found = sample_table().find(column);
  EXPECT_NE(found, nullptr) << column;
  const std::optional<JsonValue> value = parse_json(json);
  EXPECT_TRUE(value) << json;
  return bind_value(*found, *value);
}

struct Bound {
  std::string_view column;
  std::string_view json;
  std::string_view text;
};

class ValueBinderAcceptsTest : public ::testing::TestWithParam<Bound> {};

TEST_P(ValueBinderAcceptsTest, WritesPostgresqlText) {
  const auto [column, json, text] = GetParam();
  const auto bound = bound_text(column, json);
  ASSERT_TRUE(bound.ok()) << column << " " << json << ": " << bound.error().message;
  ASSERT_TRUE(*bound);
  EXPECT_EQ(**bound, text) << column << " " << json;
}

INSTANTIATE_TEST_SUITE_P(
    Table, ValueBinderAcceptsTest,
    ::testing::Values(
        // text
        Bound{"name", R"("a")", "a"}, Bound{"name", R"("")", ""}, Bound{"name", "1.50", "1.50"},
        Bound{"name", "1e5", "1e5"}, Bound{"name", R"("\u00e9\n")", "é\n"},
        Bound{"code", R"("'; drop table x; --")", "'; drop table x; --"},
        // integers
        Bound{"id", "5", "5"}, Bound{"id", "-5", "-5"}, Bound{"id", "-0", "-0"},
        Bound{"id", "5.0", "5"}, Bound{"id", "-5.000", "-5"}, Bound{"id", "1e3", "1000"},
        Bound{"id", "1.5e1", "15"}, Bound{"id", "120e-1", "12"}, Bound{"id", R"("7")", "7"},
        Bound{"big", "9223372036854775807", "9223372036854775807"},
        Bound{"big", "9007199254740993.0", "9007199254740993"},
        Bound{"big", R"("9223372036854775807")", "9223372036854775807"},
        Bound{"big", "99999999999999999999999", "99999999999999999999999"},
        // other numbers keep their digits
        Bound{"price", "0.1234567890123456789", "0.1234567890123456789"},
        Bound{"price", "1e-30", "1e-30"}, Bound{"price", R"("1.10")", "1.10"},
        Bound{"price", R"("NaN")", "NaN"}, Bound{"ratio", "1.5", "1.5"},
        // bool
        Bound{"done", "true", "t"}, Bound{"done", "false", "f"}, Bound{"done", "1", "t"},
        Bound{"done", "0", "f"}, Bound{"done", R"("t")", "t"}, Bound{"done", R"("TRUE")", "t"},
        Bound{"done", R"("Yes")", "t"}, Bound{"done", R"("on")", "t"}, Bound{"done", R"("1")", "t"},
        Bound{"done", R"("no")", "f"}, Bound{"done", R"("off")", "f"}, Bound{"done", R"("0")", "f"},
        // moments
        Bound{"at", "0", "1970-01-01 00:00:00.000+00"},
        Bound{"at", "1709164800123", "2024-02-29 00:00:00.123+00"},
        Bound{"at", "-1", "1969-12-31 23:59:59.999+00"},
        Bound{"at", "1.9", "1970-01-01 00:00:00.001+00"},
        Bound{"at", "-62135596800001", "0001-12-31 23:59:59.999+00 BC"},
        Bound{"at", "-62135596800000", "0001-01-01 00:00:00.000+00"},
        Bound{"at", "8.64e15", "275760-09-13 00:00:00.000+00"},
        Bound{"made", "1e12", "2001-09-09 01:46:40.000+00"},
        Bound{"day", "86400000", "1970-01-02 00:00:00.000+00"},
        Bound{"day", R"("2024-02-29")", "2024-02-29"}, Bound{"at", R"("infinity")", "infinity"},
        Bound{"clock", R"("12:30")", "12:30"},
        // json
        Bound{"meta", R"({"a": [1, 2]})", R"({"a": [1, 2]})"}, Bound{"meta", "[1,2]", "[1,2]"},
        Bound{"meta", "1.50", "1.50"}, Bound{"meta", "true", "true"},
        Bound{"meta", R"("{\"a\":1}")", R"({"a":1})"}, Bound{"meta", R"("12")", "12"},
        Bound{"meta", R"("null")", "null"}, Bound{"meta", R"("hello")", R"("hello")"},
        Bound{"meta", R"("")", R"("")"}, Bound{"meta", R"("{broken")", R"("{broken")"},
        Bound{"raw", R"("\"quoted\"")", R"("quoted")"},
        // bytea
        Bound{"bytes", R"("aGVsbG8=")", "\\x68656c6c6f"}, Bound{"bytes", R"("")", "\\x"},
        Bound{"bytes", R"("+/8=")", "\\xfbff"},
        // what PostgreSQL checks itself
        Bound{"uid", R"("not-a-uuid")", "not-a-uuid"}, Bound{"mood", R"("happy")", "happy"},
        // arrays
        Bound{"tags", "[]", "{}"}, Bound{"tags", R"(["a","b"])", R"({"a","b"})"},
        Bound{"tags", R"([null,"NULL",""])", R"({NULL,"NULL",""})"},
        Bound{"tags", R"(["a\"b","c\\d","{x,y}"])", R"({"a\"b","c\\d","{x,y}"})"},
        Bound{"tags", R"([["a"],["b"]])", R"({{"a"},{"b"}})"}, Bound{"tags", "[1]", R"({"1"})"},
        Bound{"tags", R"("{a,b}")", "{a,b}"},
        Bound{"grid", "[[1,2],[3,null]]", R"({{"1","2"},{"3",NULL}})"},
        Bound{"grid", "[1e2]", R"({"100"})"},
        Bound{"docs", R"([{"a":1},[2],"x","{\"b\":2}",null])",
              R"({"{\"a\":1}","[2]","\"x\"","{\"b\":2}",NULL})"},
        Bound{"blobs", R"(["aGk="])", R"({"\\x6869"})"},
        Bound{"times", "[0]", R"({"1970-01-01 00:00:00.000+00"})"},
        Bound{"flags", "[true,0,\"yes\"]", R"({"t","f","t"})"},
        Bound{"grid", "[[[[[[1]]]]]]", R"({{{{{{"1"}}}}}})"}));

class ValueBinderRefusesTest
    : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(ValueBinderRefusesTest, NamesTheColumn) {
  const auto [column, json] = GetParam();
  const auto bound = bound_text(column, json);
  ASSERT_FALSE(bound.ok()) << column << " " << json << " became " << bound->value_or("NULL");
  EXPECT_EQ(bound.error().code(), "invalid_value");
  EXPECT_NE(bound.error().message.find(column), std::string::npos) << bound.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    Table, ValueBinderRefusesTest,
    ::testing::Values(std::pair("name", "true"), std::pair("name", "{}"), std::pair("name", "[]"),
                      std::pair("name", R"("a\u0000b")"), std::pair("id", "1.5"),
                      std::pair("id", "1e-3"), std::pair("id", "1e400"), std::pair("id", "true"),
                      std::pair("id", "{}"), std::pair("id", "[1]"), std::pair("ratio", "false"),
                      std::pair("price", "[]"), std::pair("done", "2"),
                      std::pair("done", R"("maybe")"), std::pair("done", R"("")"),
                      std::pair("done", "{}"), std::pair("done", "1.0"), std::pair("at", "true"),
                      std::pair("at", "8.65e15"), std::pair("at", "1e400"), std::pair("clock", "5"),
                      std::pair("bytes", R"("aGVsbG8")"), std::pair("bytes", R"("a_-=")"),
                      std::pair("bytes", R"("aGVsbG9=")"), std::pair("bytes", "5"),
                      std::pair("bytes", "[1,2]"), std::pair("uid", "5"), std::pair("uid", "true"),
                      std::pair("mood", "1"), std::pair("mood", "{}"), std::pair("tags", "5"),
                      std::pair("tags", "{}"), std::pair("tags", "true"),
                      std::pair("tags", "[true]"), std::pair("tags", "[{}]"),
                      std::pair("tags", R"(["\u0000"])"), std::pair("tags", R"("\u0000")"),
                      std::pair("grid", "[1.5]"), std::pair("grid", "[[[[[[[1]]]]]]]"),
                      std::pair("blobs", "[\"!\"]"), std::pair("flags", "[2]")));

TEST(ValueBinderTest, NullIsNullEverywhere) {
  for (const Column& column : sample_table().columns) {
    const auto bound = bound_text(column.name, "null");
    ASSERT_TRUE(bound.ok());
    EXPECT_FALSE(*bound) << column.name;
  }
}

TEST(ValueBinderTest, ListTakesFromTheBudget) {
  size_t budget = 3;
  const Column& id = *sample_table().find("id");
  const auto list = bind_list(id, *parse_json("[1,null]"), budget);
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(*list, R"({"1",NULL})");
  EXPECT_EQ(budget, 1u);
  const auto over = bind_list(id, *parse_json("[1,2]"), budget);
  ASSERT_FALSE(over.ok());
  EXPECT_EQ(over.error().code(), "invalid_filter");
}

}  // namespace
}  // namespace raymesh::storage
