// Every column type of the database API out of PostgreSQL, exactly.
#include <gtest/gtest.h>

#include "tests/db/storage/storage_harness.hpp"

namespace raymesh::testing {
namespace {

struct TypeCase {
  const char* name;
  const char* type;
  const char* sql;   // an SQL expression
  const char* json;  // what the API shows
};

// NOLINTNEXTLINE: gtest prints it
void PrintTo(const TypeCase& c, std::ostream* out) {
  *out << c.type << " " << c.sql;
}

const TypeCase kCases[] = {
    {"int2", "int2", "-32768", "-32768"},
    {"int4", "int4", "2147483647", "2147483647"},
    {"int8_small", "int8", "42", "42"},
    {"int8_safe", "int8", "9007199254740991", "9007199254740991"},
    {"int8_unsafe", "int8", "9007199254740992", "\"9007199254740992\""},
    {"int8_negative_safe", "int8", "-9007199254740991", "-9007199254740991"},
    {"int8_min", "int8", "-9223372036854775808", "\"-9223372036854775808\""},
    {"int8_max", "int8", "9223372036854775807", "\"9223372036854775807\""},
    {"float4", "float4", "0.1", "0.1"},
    {"float8", "float8", "1e300", "1e+300"},
    {"float8_tiny", "float8", "-1.5e-07", "-1.5e-07"},
    {"float8_nan", "float8", "'NaN'", "null"},
    {"float8_infinity", "float8", "'-Infinity'", "null"},
    {"numeric", "numeric", "12345678901234567890.123456789", "\"12345678901234567890.123456789\""},
    {"numeric_scale", "numeric(10,2)", "1", "\"1.00\""},
    {"numeric_nan", "numeric", "'NaN'", "\"NaN\""},
    {"bool_true", "bool", "true", "true"},
    {"bool_false", "bool", "false", "false"},
    {"text", "text", "E'a\"b\\\\c\\n\\t\\u0001é😀'", "\"a\\\"b\\\\c\\n\\t\\u0001é😀\""},
    {"text_empty", "text", "''", "\"\""},
    {"varchar", "varchar(5)", "'abc'", "\"abc\""},
    {"char", "char(5)", "'abc'", "\"abc  \""},
    {"uuid", "uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
     "\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\""},
    {"timestamptz", "timestamptz", "'2024-02-29 12:00:00.123456+02'",
     "\"2024-02-29T10:00:00.123Z\""},
    {"timestamptz_whole", "timestamptz", "'2024-02-29 12:00:00Z'", "\"2024-02-29T12:00:00.000Z\""},
    {"timestamp", "timestamp", "'2024-12-31 23:59:59.9999'", "\"2024-12-31T23:59:59.999Z\""},
    {"timestamp_infinity", "timestamp", "'infinity'", "\"infinity\""},
    {"timestamptz_minus_infinity", "timestamptz", "'-infinity'", "\"-infinity\""},
    {"timestamp_bc", "timestamp", "'0044-03-15 01:02:03 BC'", "\"-000043-03-15T01:02:03.000Z\""},
    {"timestamp_far", "timestamp", "'10000-01-01'", "\"+010000-01-01T00:00:00.000Z\""},
    {"date", "date", "'2024-02-29'", "\"2024-02-29T00:00:00.000Z\""},
    {"date_bc", "date", "'0001-01-01 BC'", "\"0000-01-01T00:00:00.000Z\""},
    {"date_infinity", "date", "'infinity'", "\"infinity\""},
    {"time", "time", "'12:34:56.5'", "\"12:34:56.5\""},
    {"timetz", "timetz", "'12:34:56+02'", "\"12:34:56+02\""},
    {"interval", "interval", "'1 day 02:03:04'", "\"1 day 02:03:04\""},
    {"json", "json", "'{\"a\": [1, null, \"x\"]}'", "{\"a\": [1, null, \"x\"]}"},
    {"json_null", "json", "'null'", "null"},
    {"jsonb", "jsonb", "'{\"b\":1,\"a\":{\"c\":[true]}}'", "{\"a\": {\"c\": [true]}, \"b\": 1}"},
    {"jsonb_string", "jsonb", "'\"text\"'", "\"text\""},
    {"bytea", "bytea", "'\\x00ff10'", "\"AP8Q\""},
    {"bytea_empty", "bytea", "''", "\"\""},
    {"inet", "inet", "'10.0.0.1/8'", "\"10.0.0.1/8\""},
    {"int_array", "int[]", "'{1,NULL,-3}'", "[1,null,-3]"},
    {"int_array_empty", "int[]", "'{}'", "[]"},
    {"int_array_nested", "int[]", "'{{1,2},{3,4}}'", "[[1,2],[3,4]]"},
    {"int_array_bounds", "int[]", "'[0:1]={7,8}'", "[7,8]"},
    {"int8_array", "int8[]", "'{1,9007199254740993}'", "[1,\"9007199254740993\"]"},
    {"text_array", "text[]", "ARRAY['a', 'b,c', 'd\"e', '', 'NULL', NULL, '{x}', '\\']",
     "[\"a\",\"b,c\",\"d\\\"e\",\"\",\"NULL\",null,\"{x}\",\"\\\\\"]"},
    {"bool_array", "bool[]", "'{t,f,NULL}'", "[true,false,null]"},
    {"float_array", "float8[]", "'{1.5,NaN,Infinity}'", "[1.5,null,null]"},
    {"numeric_array", "numeric[]", "'{1.10,2}'", "[\"1.10\",\"2\"]"},
    {"timestamptz_array", "timestamptz[]", "ARRAY['2024-01-01 00:00:00Z'::timestamptz]",
     "[\"2024-01-01T00:00:00.000Z\"]"},
    {"date_array", "date[]", "'{2024-01-01}'", "[\"2024-01-01T00:00:00.000Z\"]"},
    {"jsonb_array", "jsonb[]", "ARRAY['{\"a\":1}'::jsonb, 'null'::jsonb]", "[{\"a\": 1},null]"},
    {"bytea_array", "bytea[]", "ARRAY['\\x00ff'::bytea]", "[\"AP8=\"]"},
    {"uuid_array", "uuid[]", "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'",
     "[\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"]"},
    {"enum_value", "mood", "'happy'", "\"happy\""},
    {"enum_array", "mood[]", "'{happy,\"very sad\"}'", "[\"happy\",\"very sad\"]"},
    {"domain_int", "positive", "7", "7"},
    {"domain_of_domain", "small", "8", "8"},
    {"domain_array", "positive[]", "'{1,2}'", "[1,2]"},
    {"domain_over_array", "scores", "'{1,2}'", "[1,2]"},
    {"composite", "pair", "ROW(1,'x')", "\"(1,x)\""},
    {"range", "int4range", "'[1,5)'", "\"[1,5)\""},
    {"point", "point", "'(1,2)'", "\"(1,2)\""},
    {"money", "money", "'1.5'", "\"$1.50\""},
    {"xml", "xml", "'<a/>'", "\"<a/>\""},
    {"bit", "bit(3)", "B'101'", "\"101\""},
    {"oid_type", "oid", "4294967295", "4294967295"},
    {"tsvector", "tsvector", "'a:1 b:2'", "\"'a':1 'b':2\""},
};

class TypesTest : public ::testing::TestWithParam<TypeCase> {
 protected:
  static void SetUpTestSuite() {
    project_ = TestProject::create("types");
    project_.execute(
        "CREATE TYPE mood AS ENUM ('happy', 'very sad'); CREATE DOMAIN positive AS int CHECK "
        "(VALUE "
        "> 0); CREATE DOMAIN small AS positive CHECK (VALUE < 10); CREATE DOMAIN scores AS int[];"
        "CREATE TYPE pair AS (a int, b text)");
    storage_ = std::make_unique<StorageHarness>();
  }
  static void TearDownTestSuite() { storage_.reset(); }

  static inline TestProject project_;
  static inline std::unique_ptr<StorageHarness> storage_;
};

TEST_P(TypesTest, ComesOutAsSpecified) {
  const TypeCase& c = GetParam();
  const std::string table = std::string("t_") + c.name;
  project_.execute("CREATE TABLE " + table + " (v " + c.type + ", nothing " + c.type +
                   "); INSERT INTO " + table + " (v) VALUES (" + c.sql + ")");
  const std::string row = std::string("{\"v\":") + c.json + ",\"nothing\":null}";
  EXPECT_EQ(storage_->text(project_, "findFirst", table), row);
  EXPECT_EQ(storage_->text(project_, "find", table), "[" + row + "]");
}

INSTANTIATE_TEST_SUITE_P(All, TypesTest, ::testing::ValuesIn(kCases),
                         [](const auto& c) { return std::string(c.param.name); });

}  // namespace
}  // namespace raymesh::testing
