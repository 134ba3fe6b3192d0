#include "services/cache/json_value.hpp"

#include <gtest/gtest.h>

namespace raymesh::cache {
namespace {

TEST(JsonValueTest, TakesEveryKindOfValue) {
  for (const char* text : {"null", "true", "0", "-1.5e3", "\"\"", "\"\\u00e9\"", "[]", "{}",
                           " {\"a\":[1,{\"b\":null}]} ", "9007199254740993"})
    EXPECT_TRUE(check_json(text, 1000, "the value").ok()) << text;
}

TEST(JsonValueTest, RefusesWhatIsNone) {
  for (std::string_view text : {"", " ", "nul", "{", "[1,]", "{\"a\":1,}", "1 2", "'a'", "\"\x01\"",
                                "\"\xff\"", "01", "NaN", "{}{}"}) {
    Status status = check_json(text, 1000, "the value");
    ASSERT_FALSE(status.ok()) << text;
    EXPECT_TRUE(status.error().is(errors::kInvalidJson)) << text;
  }
}

TEST(JsonValueTest, RefusesNestingWithoutEnd) {
  EXPECT_FALSE(check_json(std::string(100'000, '['), 1u << 20, "the value").ok());
}

TEST(JsonValueTest, BoundsTheSize) {
  const std::string text = '"' + std::string(100, 'x') + '"';
  EXPECT_TRUE(check_json(text, 102, "the value").ok());
  Status status = check_json(text, 101, "the value");
  ASSERT_FALSE(status.ok());
  EXPECT_TRUE(status.error().is(errors::kValueTooLarge));
}

}  // namespace
}  // namespace raymesh::cache
