#include "libs/base/json_reader.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace raymesh {
namespace {

TEST(JsonReaderTest, AcceptsRfc8259) {
  for (std::string_view text :
       {"null", " true ", "false", "0", "-0", "-1.5e+10", "1E5", "12345678901234567890123", "\"\"",
        R"("a\"\\\/\b\f\n\r\té\ud83d\ude00")", "\"é😀\"", "[]", "[ ]", "{}", "{ }",
        R"([1,"a",null,[{}]])", R"({"a":1 , "b" : [ 2 ] })", "\t\n\r [1]\n"}) {
    EXPECT_TRUE(parse_json(text)) << text;
  }
}

TEST(JsonReaderTest, RefusesEverythingElse) {
  using namespace std::string_view_literals;
  for (std::string_view text : {""sv,
                                " "sv,
                                "nul"sv,
                                "nulll"sv,
                                "True"sv,
                                "01"sv,
                                "-"sv,
                                "1."sv,
                                ".5"sv,
                                "1e"sv,
                                "+1"sv,
                                "NaN"sv,
                                "Infinity"sv,
                                "\""sv,
                                "\"\n\""sv,
                                "\"\0\""sv,
                                R"("\x")"sv,
                                R"("\u12")"sv,
                                R"("\ud800")"sv,
                                R"("\udc00")"sv,
                                R"("\ud800A")"sv,
                                "\"\xff\""sv,
                                "\"\xc0\x80\""sv,
                                "[1,]"sv,
                                "[,1]"sv,
                                "[1 2]"sv,
                                "[1"sv,
                                "]"sv,
                                "{\"a\"}"sv,
                                "{\"a\":}"sv,
                                "{a:1}"sv,
                                "{\"a\":1,}"sv,
                                "{\"a\":1 \"b\":2}"sv,
                                "{1:2}"sv,
                                "{} {}"sv,
                                "1 2"sv,
                                "'a'"sv,
                                "// c\n1"sv,
                                "\xef\xbb\xbf{}"sv,
                                "{\"a\":1}\0"sv}) {
    EXPECT_FALSE(parse_json(text)) << text;
  }
}

TEST(JsonReaderTest, BoundsTheDepth) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_json(nested(kMaxJsonDepth)));
  EXPECT_FALSE(parse_json(nested(kMaxJsonDepth + 1)));
  EXPECT_FALSE(parse_json(std::string(1'000'000, '[')));
}

TEST(JsonReaderTest, WalksMembersWithTheirOwnText) {
  const std::string text = R"( { "a\n" : 1.50 , "b":"x,}]" ,"c":[1,{"d":2}], "e":{} } )";
  JsonMembers members(*parse_json(text));
  std::string scratch;
  std::vector<std::string> seen;
  while (members.next()) {
    seen.push_back(std::string(members.key(scratch)) + "=" + std::string(members.value().raw()));
  }
  EXPECT_EQ(seen, (std::vector<std::string>{"a\n=1.50", "b=\"x,}]\"", R"(c=[1,{"d":2}])", "e={}"}));
}

TEST(JsonReaderTest, UnescapesStrings) {
  std::string scratch;
  EXPECT_EQ(parse_json(R"("plain")")->text(scratch), "plain");
  EXPECT_EQ(parse_json(R"("\"\\\/\b\f\n\r\t")")->text(scratch), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(parse_json(R"("\u0041\u00e9\u8868\ud83d\ude00\uDBFF\uDFFF")")->text(scratch),
            "Aé表😀\xf4\x8f\xbf\xbf");
  EXPECT_EQ(parse_json(R"("a\u0000b")")->text(scratch), std::string_view("a\0b", 3));
}

TEST(JsonReaderTest, KnowsEmptyContainers) {
  EXPECT_TRUE(parse_json("[ \n]")->is_empty());
  EXPECT_TRUE(parse_json("{ }")->is_empty());
  EXPECT_FALSE(parse_json("[0]")->is_empty());
  EXPECT_FALSE(parse_json("{ \"\":0}")->is_empty());
}

}  // namespace
}  // namespace raymesh
