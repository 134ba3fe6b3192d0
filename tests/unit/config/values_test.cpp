#include "libs/config/values.hpp"

#include <gtest/gtest.h>

namespace raymesh::config {
namespace {

using std::chrono::milliseconds;

TEST(ValuesTest, DurationsNeedAUnit) {
  EXPECT_EQ(parse_duration("250ms"), milliseconds(250));
  EXPECT_EQ(parse_duration("10s"), milliseconds(10'000));
  EXPECT_EQ(parse_duration("5m"), milliseconds(300'000));
  EXPECT_EQ(parse_duration("24h"), milliseconds(86'400'000));
  for (const char* text : {"", "10", "s", "1.5s", "-1s", "10 s", "10sec", "99999999999999999999s",
                           "9223372036854775807h"})
    EXPECT_FALSE(parse_duration(text)) << text;
}

TEST(ValuesTest, SizesAreBytesOrBinaryUnits) {
  EXPECT_EQ(parse_bytes("64"), 64u);
  EXPECT_EQ(parse_bytes("16KiB"), 16u << 10);
  EXPECT_EQ(parse_bytes("8MiB"), 8u << 20);
  EXPECT_EQ(parse_bytes("1GiB"), 1u << 30);
  for (const char* text : {"", "KiB", "1KB", "1kib", "-1", "1.5MiB", "99999999999GiB"})
    EXPECT_FALSE(parse_bytes(text)) << text;
}

TEST(ValuesTest, FormattedValuesReadBack) {
  for (int64_t ms : {0, 1, 999, 1'000, 90'000, 3'600'000, 86'400'001})
    EXPECT_EQ(parse_duration(format_duration(milliseconds(ms))), milliseconds(ms));
  for (uint64_t n : {0ull, 1ull, 1023ull, 1024ull, 1ull << 20, 3ull << 30})
    EXPECT_EQ(parse_bytes(format_bytes(n)), n);
  EXPECT_EQ(format_duration(milliseconds(90'000)), "90s");
  EXPECT_EQ(format_bytes(16 << 20), "16MiB");
}

TEST(ValuesTest, NumbersTakeTheWholeText) {
  EXPECT_EQ(parse_integer("-7"), -7);
  EXPECT_FALSE(parse_integer("7x"));
  EXPECT_FALSE(parse_integer(""));
  EXPECT_FALSE(parse_integer("9223372036854775808"));
  EXPECT_EQ(parse_number("0.5"), 0.5);
  EXPECT_FALSE(parse_number("nan"));
  EXPECT_FALSE(parse_number("inf"));
}

TEST(ValuesTest, BooleansHaveFourForms) {
  for (const char* text : {"true", "yes", "on", "1"}) EXPECT_EQ(parse_boolean(text), true);
  for (const char* text : {"false", "no", "off", "0"}) EXPECT_EQ(parse_boolean(text), false);
  EXPECT_FALSE(parse_boolean("TRUE"));
  EXPECT_FALSE(parse_boolean(""));
}

TEST(ValuesTest, ListsSplitAtCommas) {
  EXPECT_EQ(split_list("a, b ,c"), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(split_list("a,,b"), (std::vector<std::string>{"a", "", "b"}));
  EXPECT_TRUE(split_list("").empty());
}

TEST(ValuesTest, NearestForgivesTypingErrorsButNotOtherWords) {
  std::vector<std::string> known{"listen", "ops-listen", "drain"};
  EXPECT_EQ(nearest("lisetn", known), "listen");
  EXPECT_EQ(nearest("ops_listen", known), "ops-listen");
  EXPECT_EQ(nearest("postgres", known), "");
}

}  // namespace
}  // namespace raymesh::config
