#include "services/realtime/client_message.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace raymesh::realtime {
namespace {

class ClientMessageTest : public ::testing::Test {
 protected:
  struct Parsed {
    std::string channel, payload;
    bool operator==(const Parsed&) const = default;
  };
  std::optional<Parsed> parse(const std::string& text) {
    ClientMessageParser::Message publish;
    if (!parser_.parse(text, publish)) return std::nullopt;
    return Parsed{std::string(publish.channel), std::string(publish.payload)};
  }

  ClientMessageParser parser_;
};

TEST_F(ClientMessageTest, CutsThePayloadOutUntouched) {
  EXPECT_EQ(parse(R"({"type":"publish","channel":"c","payload":{"a": [1, 2 ]}})"),
            (Parsed{"c", R"({"a": [1, 2 ]})"}));
  EXPECT_EQ(parse(R"({"payload":"}{\"","type":"publish","channel":"c"})"),
            (Parsed{"c", R"("}{\"")"}));
  for (const char* scalar : {"1", "-1.5e3", "true", "false", "null", R"("")", "[]", "{}"})
    EXPECT_EQ(parse(R"({"type":"publish","channel":"c","payload":)" + std::string(scalar) + " }"),
              (Parsed{"c", scalar}));
}

TEST_F(ClientMessageTest, UnderstandsEscapesInNames) {
  EXPECT_EQ(parse(R"({"\u0074ype":"publis\u0068","channel":"\u00e4\/x","p\u0061yload":1})"),
            (Parsed{"\xc3\xa4/x", "1"}));
}

TEST_F(ClientMessageTest, TheLastOfTwoMembersCounts) {
  EXPECT_EQ(
      parse(R"({"type":"x","type":"publish","channel":"a","channel":"b","payload":1,"payload":2})"),
      (Parsed{"b", "2"}));
  EXPECT_EQ(parse(R"({"type":"publish","type":"x","channel":"a","payload":1})"), std::nullopt);
  EXPECT_EQ(parse(R"({"type":"publish","channel":"a","channel":1,"payload":1})"), std::nullopt);
}

TEST_F(ClientMessageTest, OtherMembersDoNotMatter) {
  EXPECT_EQ(parse(R"({"id":[{"type":"no"}],"type":"publish","channel":"c","payload":1,"x":null})"),
            (Parsed{"c", "1"}));
}

TEST_F(ClientMessageTest, AMissingPayloadIsNull) {
  EXPECT_EQ(parse(R"({"type":"publish","channel":"c"})"), (Parsed{"c", "null"}));
}

TEST_F(ClientMessageTest, IgnoresEverythingElse) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "null",
                           "[]",
                           "\"publish\"",
                           "{}",
                           R"({"type":"publish"})",
                           R"({"channel":"c","payload":1})",
                           R"({"type":1,"channel":"c","payload":1})",
                           R"({"type":"publish","channel":null,"payload":1})",
                           R"({"type":"publish","channel":"c","payload":})",
                           R"({"type":"publish","channel":"c","payload":nul})",
                           R"({"type":"publish","channel":"c","payload":01})",
                           R"({"type":"publish","channel":"c","payload":[1,]})",
                           R"({"type":"publish","channel":"c","payload":"\x"})",
                           "{\"type\":\"publish\",\"channel\":\"c\",\"payload\":\"\n\"}",
                           R"({"type":"publish","channel":"c","payload":1}{})",
                           R"({"type":"publish","channel":"c","payload":1},)",
                           R"([{"type":"publish","channel":"c","payload":1}])"})
    EXPECT_EQ(parse(text), std::nullopt) << text;
}

TEST_F(ClientMessageTest, AcceptsWhateverJavaScriptWrites) {
  for (const char* payload :
       {"123456789012345678901234567890", "1e999", R"("\ud800")", R"("\udc00x")"})
    EXPECT_EQ(parse(R"({"type":"publish","channel":"c","payload":)" + std::string(payload) + "}"),
              (Parsed{"c", payload}));
}

TEST_F(ClientMessageTest, BoundsDepth) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_EQ(parse(R"({"type":"publish","channel":"c","payload":)" + deep + "}"), std::nullopt);
  EXPECT_FALSE(parser_.json_value(deep));
}

TEST_F(ClientMessageTest, KnowsJsonValues) {
  for (const char* good : {"1", "null", R"("x")", R"({"a":[1,2,{"b":null}]})", " [ ] "})
    EXPECT_TRUE(parser_.json_value(good)) << good;
  for (const char* bad : {"", " ", "1 2", "{", "nul", "'x'", "{\"a\":1,}", "\xff"})
    EXPECT_FALSE(parser_.json_value(bad)) << bad;
}

}  // namespace
}  // namespace raymesh::realtime
