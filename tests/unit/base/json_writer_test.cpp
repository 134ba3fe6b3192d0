#include "libs/base/json_writer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

namespace raymesh::json {
namespace {

using namespace std::string_literals;

template <class F>
std::string written(F f) {
  std::string out;
  f(out);
  return out;
}

TEST(JsonWriterTest, EscapesWhatRfc8259Asks) {
  EXPECT_EQ(json::quoted("a\"b\\c\n\r\t\b\f\x01\x1f\0"s),
            R"("a\"b\\c\n\r\t\b\f\u0001\u001f\u0000")");
  EXPECT_EQ(json::quoted("/\x7f"), "\"/\x7f\"");
  EXPECT_EQ(json::quoted(""), R"("")");
}

TEST(JsonWriterTest, LeavesUtf8AsItIs) {
  EXPECT_EQ(json::quoted("\xc3\xa9\xf0\x9f\x98\x80"), "\"\xc3\xa9\xf0\x9f\x98\x80\"");
}

TEST(JsonWriterTest, ReplacesEachBadByteAndKeepsTheRest) {
  EXPECT_EQ(json::quoted("a\xffz\xc3\xa9\xc3"), "\"a\xef\xbf\xbdz\xc3\xa9\xef\xbf\xbd\"");
  EXPECT_EQ(json::quoted("\xed\xa0\x80\n"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\\n\"");
}

TEST(JsonWriterTest, WritesTheLimitsOfIntegers) {
  EXPECT_EQ(written([](auto& o) { append_int(o, std::numeric_limits<int64_t>::min()); }),
            "-9223372036854775808");
  EXPECT_EQ(written([](auto& o) { append_uint(o, std::numeric_limits<uint64_t>::max()); }),
            "18446744073709551615");
}

TEST(JsonWriterTest, DoublesReadBackAsThemselves) {
  for (double v : {0.1, 1e300, -2.5, 1.0 / 3, 5e-324, 123456789.125}) {
    std::string text = written([v](auto& o) { append_double(o, v); });
    EXPECT_EQ(std::strtod(text.c_str(), nullptr), v) << text;
  }
}

TEST(JsonWriterTest, NumbersThatJsonLacksAreNull) {
  EXPECT_EQ(written([](auto& o) { append_double(o, std::nan("")); }), "null");
  EXPECT_EQ(written([](auto& o) { append_double(o, -INFINITY); }), "null");
}

TEST(JsonWriterTest, ObjectsPutTheCommas) {
  std::string out;
  Object empty(out);
  empty.end();
  Object o(out);
  o.string("a", "x");
  o.integer("b\"", -1);
  o.boolean("c", false);
  o.raw("d", "[1]");
  o.end();
  EXPECT_EQ(out, R"({}{"a":"x","b\"":-1,"c":false,"d":[1]})");
}

}  // namespace
}  // namespace raymesh::json
