#include "services/gateway/json_text.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <random>
#include <vector>

namespace raymesh::gateway::json_text {
namespace {

TEST(JsonTextTest, AcceptsEveryFormOfValue) {
  for (auto text : {"{}", "[]", "null", "true", "false", "0", "-0", "1.5e-7", "10E+2", "\"\"",
                    " { \"a\" : [ 1 , { \"b\" : null } , \"\\u00e9\\n\\\"\" ] } ", "[[],{}]",
                    "123456789012345678901234567890", "1e400", "\"\xc3\xa9\"", "\"\\ud83d\\ude00\"",
                    "\"0123456789abcdef\\\\\"", "{\"a\":1,\"a\":2}"})
    EXPECT_TRUE(check(text)) << text;
}

TEST(JsonTextTest, RefusesWhatIsNotJson) {
  for (auto text : {"",
                    " ",
                    "{",
                    "}",
                    "[",
                    "[1,]",
                    "[,1]",
                    "{\"a\"}",
                    "{\"a\":}",
                    "{\"a\":1,}",
                    "{a:1}",
                    "{\"a\" 1}",
                    "{'a':1}",
                    "[1 2]",
                    "01",
                    "-",
                    "+1",
                    ".5",
                    "1.",
                    "1e",
                    "1e+",
                    "0x1",
                    "NaN",
                    "Infinity",
                    "tru",
                    "nul",
                    "truefalse",
                    "\"",
                    "\"\\\"",
                    "\"\\x\"",
                    "\"\\u12g4\"",
                    "\"\\u12",
                    "\"a\nb\"",
                    "\"a\tb\"",
                    "\"\x01\"",
                    "{} {}",
                    "[] 1",
                    "\"\xff\"",
                    "\"\xc3\"",
                    "\"\xed\xa0\x80\"",
                    "/* */ 1",
                    "[1]]",
                    "{\"a\":1}}",
                    "\xef\xbb\xbf{}",
                    "{\"a\":tru}",
                    "[1}",
                    "{\"a\":1]"})
    EXPECT_FALSE(check(text)) << text;
  EXPECT_FALSE(check(std::string_view("\"a\0b\"", 5)));
  EXPECT_FALSE(check(std::string_view("{}\0", 3)));
}

TEST(JsonTextTest, BoundsTheDepth) {
  auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(check(nested(kMaxDepth)));
  EXPECT_FALSE(check(nested(kMaxDepth + 1)));
  EXPECT_FALSE(check(std::string(1'000'000, '[')));
  EXPECT_FALSE(check(std::string(1'000'000, '{')));
}

TEST(JsonTextTest, FindsSpecialBytesAtEveryPlaceOfAString) {
  for (size_t at = 0; at < 20; ++at) {
    std::string text(20, 'x');
    text[at] = '\x1f';
    EXPECT_FALSE(check('"' + text + '"')) << at;
    text[at] = '"';
    EXPECT_FALSE(check('"' + text + '"')) << at;
    text[at] = '\x7f';
    EXPECT_TRUE(check('"' + text + '"')) << at;
  }
}

// simdjson's parser decides the same, apart from numbers that do not fit 64 bits, which it refuses.
TEST(JsonTextTest, AgreesWithSimdjsonOnMutatedText) {
  std::mt19937 random(7);
  const std::string seed =
      R"({"a":[1,-2.5e3,true,false,null,{"b":"x\"\\\/\b\f\n\r\tA"}],"c":"é","d":{}})";
  const std::string alphabet = "{}[]\",:\\ntrue0123456789.-+eEu \t\xc3\xa9";
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
    EXPECT_EQ(check(text), error == simdjson::SUCCESS) << text << " " << error;
    accepted += error == simdjson::SUCCESS;
  }
  EXPECT_GT(accepted, 100);
}

TEST(JsonTextTest, ReadsMembersAsTheyWereSent) {
  ObjectReader reader(
      " { \"a\" : 1.50 , \"b\":{\"x\":[1,2],\"y\":\"}\"} ,\"c\" : \"q\\\"\" , \"d\":[ ], "
      "\"\":null} ");
  std::vector<std::pair<std::string, std::string>> members;
  std::string_view key;
  std::string_view value;
  while (reader.next(key, value)) members.emplace_back(key, value);
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"a", "1.50"},
      {"b", "{\"x\":[1,2],\"y\":\"}\"}"},
      {"c", "\"q\\\"\""},
      {"d", "[ ]"},
      {"", "null"}};
  EXPECT_EQ(members, expected);
  EXPECT_FALSE(ObjectReader("{ }").next(key, value));
}

TEST(JsonTextTest, ReadsElements) {
  ArrayReader reader("[ 1, \"a,b\" ,[2],{}]");
  std::vector<std::string> elements;
  std::string_view value;
  while (reader.next(value)) elements.emplace_back(value);
  EXPECT_EQ(elements, (std::vector<std::string>{"1", "\"a,b\"", "[2]", "{}"}));
  EXPECT_FALSE(ArrayReader("[ ]").next(value));
}

TEST(JsonTextTest, ResolvesEscapes) {
  EXPECT_EQ(string_value(R"("plain")"), "plain");
  EXPECT_EQ(string_value(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(string_value(R"("\u0041\u00e9\u20ac\ud83d\ude00")"),
            "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  EXPECT_EQ(string_value(R"("\ud83d")"), "\xef\xbf\xbd");
  EXPECT_EQ(string_value(R"("\ude00x")"), "\xef\xbf\xbdx");
  EXPECT_EQ(string_value(R"("\ud83dA")"),
            "\xef\xbf\xbd"
            "A");
  EXPECT_EQ(string_value(R"("\u0000")"), std::string(1, '\0'));
  EXPECT_EQ(string_value("1"), std::nullopt);
  EXPECT_EQ(string_value("null"), std::nullopt);
}

TEST(JsonTextTest, KeysMayBeEscaped) {
  EXPECT_TRUE(key_is("options", "options"));
  EXPECT_TRUE(key_is("\\u006fptions", "options"));
  EXPECT_FALSE(key_is("Options", "options"));
}

}  // namespace
}  // namespace raymesh::gateway::json_text
