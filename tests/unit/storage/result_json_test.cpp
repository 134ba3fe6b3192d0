#include "services/storage/result_json.hpp"

#include <gtest/gtest.h>

#include "services/storage/pg_errors.hpp"
#include "services/storage/temporal_json.hpp"

namespace raymesh::storage {
namespace {

std::string timestamp(std::string_view text) {
  std::string out;
  append_timestamp(out, text);
  return out;
}
std::string date(std::string_view text) {
  std::string out;
  append_date(out, text);
  return out;
}
std::string value(uint32_t type, std::string_view text, bool is_array = false) {
  std::string out;
  append_value(out, {"", json_form(type), is_array}, {text.data(), text.size()});
  return out;
}

TEST(TemporalJsonTest, WritesIsoInUtc) {
  EXPECT_EQ(timestamp("2024-02-29 12:00:00"), "\"2024-02-29T12:00:00.000Z\"");
  EXPECT_EQ(timestamp("2024-02-29 12:00:00.1+00"), "\"2024-02-29T12:00:00.100Z\"");
  EXPECT_EQ(timestamp("2024-03-01 01:30:00+05:30"), "\"2024-02-29T20:00:00.000Z\"");
  EXPECT_EQ(timestamp("2024-12-31 23:30:00-01"), "\"2025-01-01T00:30:00.000Z\"");
  EXPECT_EQ(timestamp("1883-01-01 00:00:00+00:53:28"), "\"1882-12-31T23:06:32.000Z\"");
  EXPECT_EQ(timestamp("0001-01-01 00:00:00+01 BC"), "\"-000001-12-31T23:00:00.000Z\"");
  EXPECT_EQ(timestamp("294276-12-31 23:59:59.999999"), "\"+294276-12-31T23:59:59.999Z\"");
  EXPECT_EQ(timestamp("4713-11-24 00:00:00 BC"), "\"-004712-11-24T00:00:00.000Z\"");
  EXPECT_EQ(date("2024-02-29"), "\"2024-02-29T00:00:00.000Z\"");
  EXPECT_EQ(date("5874897-12-31"), "\"+5874897-12-31T00:00:00.000Z\"");
}

TEST(TemporalJsonTest, KeepsWhatItDoesNotKnow) {
  EXPECT_EQ(timestamp("infinity"), "\"infinity\"");
  EXPECT_EQ(timestamp("29/02/2024 12:00:00 JST"), "\"29/02/2024 12:00:00 JST\"");
  EXPECT_EQ(timestamp("2024-02-29"), "\"2024-02-29\"");
  EXPECT_EQ(timestamp("2024-02-29 12:00:00 x"), "\"2024-02-29 12:00:00 x\"");
  EXPECT_EQ(date(""), "\"\"");
  EXPECT_EQ(date("-infinity"), "\"-infinity\"");
}

TEST(ResultJsonTest, ArraysThatAreNone) {
  EXPECT_EQ(value(oid::kInt4, "{1,2", true), "\"{1,2\"");
  EXPECT_EQ(value(oid::kInt4, "", true), "\"\"");
  EXPECT_EQ(value(oid::kInt4, "{1}x", true), "\"{1}x\"");
  EXPECT_EQ(value(oid::kText, "{\"open", true), "\"{\\\"open\"");
  EXPECT_EQ(value(oid::kText, "{{{{{{{{1}}}}}}}}", true), "\"{{{{{{{{1}}}}}}}}\"");
  EXPECT_EQ(value(oid::kInt4, "[1:2", true), "\"[1:2\"");
}

TEST(ResultJsonTest, BothFormsOfBytea) {
  EXPECT_EQ(value(oid::kBytea, "\\x00ff41"), "\"AP9B\"");
  EXPECT_EQ(value(oid::kBytea, "\\000\\377A"), "\"AP9B\"");
  EXPECT_EQ(value(oid::kBytea, "a\\\\b"), "\"YVxi\"");
  EXPECT_EQ(value(oid::kBytea, "\\"), "\"XA==\"");
}

TEST(PgErrorsTest, MapsByClassAndCode) {
  auto code = [](const char* sqlstate) {
    pg::ServerError e;
    e.sqlstate = sqlstate;
    return std::string(to_error(e).code());
  };
  EXPECT_EQ(code("23505"), "unique_violation");
  EXPECT_EQ(code("23503"), "foreign_key_violation");
  EXPECT_EQ(code("23502"), "not_null_violation");
  EXPECT_EQ(code("23514"), "check_violation");
  EXPECT_EQ(code("22P02"), "invalid_value");
  EXPECT_EQ(code("22001"), "invalid_value");
  EXPECT_EQ(code("42804"), "invalid_value");
  EXPECT_EQ(code("428C9"), "invalid_value");
  EXPECT_EQ(code("42P01"), "unknown_table");
  EXPECT_EQ(code("42703"), "unknown_column");
  EXPECT_EQ(code("42501"), "database_permission");
  EXPECT_EQ(code("42601"), "database_error");
  EXPECT_EQ(code("57014"), "statement_timeout");
  EXPECT_EQ(code("40001"), "serialization_failure");
  EXPECT_EQ(code("40P01"), "serialization_failure");
  EXPECT_EQ(code("53100"), "unavailable") << "a full disk";
  EXPECT_EQ(code("53300"), "unavailable");
  EXPECT_EQ(code("58030"), "unavailable") << "an I/O error";
  EXPECT_EQ(code("57P01"), "unavailable");
  EXPECT_EQ(code("P0001"), "database_error");
  EXPECT_EQ(code("XX000"), "internal");
  EXPECT_EQ(code("MY001"), "database_error") << "raised by the project's own code";
}

TEST(PgErrorsTest, ShowsDetailOnlyOfKeys) {
  pg::ServerError e;
  e.message = "m";
  e.detail = "d";
  e.sqlstate = "23505";
  EXPECT_EQ(to_error(e).message, "m (d)");
  e.sqlstate = "23502";
  EXPECT_EQ(to_error(e).message, "m");
}

}  // namespace
}  // namespace raymesh::storage
