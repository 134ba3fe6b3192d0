// RFC 6455 section 8.1: text is UTF-8, wherever fragments and segments cut it, and what can no
// longer become UTF-8 ends the connection before the message does.
#include "rfc6455_fixture.hpp"

namespace raymesh::realtime {
namespace {

constexpr auto kContinuation = Opcode::kContinuation;

class Utf8Test : public Rfc6455Test {};
TEST_P(Utf8Test, Holds) {
  hold(GetParam());
}

struct Sequence {
  std::string name;
  std::string bytes;
};

std::vector<Sequence> well_formed() {
  return {
      {"Ascii", "Hello, world"},
      {"TwoThreeAndFourBytes", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
      {"Greek", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"},
      {"U0080", "\xc2\x80"},
      {"U07ff", "\xdf\xbf"},
      {"U0800", "\xe0\xa0\x80"},
      {"Ud7ff", "\xed\x9f\xbf"},
      {"Ue000", "\xee\x80\x80"},
      {"Ufffd", "\xef\xbf\xbd"},
      {"U10000", "\xf0\x90\x80\x80"},
      {"U10ffff", "\xf4\x8f\xbf\xbf"},
      // Not for interchange, but encoded as they should be.
      {"NoncharactersOfTheFirstPlane", "\xef\xbf\xbe\xef\xbf\xbf\xef\xb7\x90"},
      {"NoncharactersOfOtherPlanes", "\xf0\x9f\xbf\xbe\xf3\xaf\xbf\xbf\xf4\x8f\xbf\xbe"},
      {"ByteOrderMark", "\xef\xbb\xbf"},
      {"ZeroWidthAndCombining", "e\xcc\x81\xe2\x80\x8d"},
  };
}

std::vector<Sequence> ill_formed() {
  return {
      {"LoneContinuation", "\x80"},
      {"HighestContinuation", "\xbf"},
      {"ManyContinuations", "\x80\xbf\x80\xbf\x80\xbf"},
      {"ByteFe", "\xfe"},
      {"ByteFf", "\xff"},
      {"FeFeFfFf", "\xfe\xfe\xff\xff"},
      {"StartOfTwoBehindASpace", "\xc3 \xc3 "},
      {"StartOfThreeBehindASpace", "\xe2 \xe2 "},
      {"StartOfFourBehindASpace", "\xf0 \xf0 "},
      {"TwoOfThreeBytes", "\xe2\x82 "},
      {"TwoOfFourBytes", "\xf0\x9f "},
      {"ThreeOfFourBytes", "\xf0\x9f\x98 "},
      {"OverlongSlashInTwo", "\xc0\xaf"},
      {"OverlongSlashInThree", "\xe0\x80\xaf"},
      {"OverlongSlashInFour", "\xf0\x80\x80\xaf"},
      {"OverlongU007f", "\xc1\xbf"},
      {"OverlongU07ff", "\xe0\x9f\xbf"},
      {"OverlongUffff", "\xf0\x8f\xbf\xbf"},
      {"OverlongNul", "\xc0\x80"},
      {"FiveBytes", "\xf8\x88\x80\x80\x80"},
      {"SixBytes", "\xfc\x84\x80\x80\x80\x80"},
      {"SurrogateD800", "\xed\xa0\x80"},
      {"SurrogateDfff", "\xed\xbf\xbf"},
      {"SurrogatePair", "\xed\xa0\xbd\xed\xb8\x80"},
      {"U110000", "\xf4\x90\x80\x80"},
      {"U13ffff", "\xf4\xbf\xbf\xbf"},
      {"LeadF5", "\xf5\x80\x80\x80"},
  };
}

/// A message with `inside` in the payload's string, so that it stands between well-formed text.
std::string around(const std::string& inside) {
  return publishing('"' + inside + '"');
}

/// The message in fragments that cut `inside` behind each of its bytes.
std::vector<std::string> cut_behind_each_byte(const std::string& inside) {
  const std::string whole = around(inside);
  const size_t at = whole.find(inside);
  std::vector<std::string> out = {client_frame(Opcode::kText, whole.substr(0, at), false)};
  for (const char c : inside) out.push_back(client_frame(kContinuation, {&c, 1}, false));
  out.push_back(client_frame(kContinuation, whole.substr(at + inside.size())));
  return out;
}

std::vector<Conversation> takes() {
  std::vector<Conversation> out;
  for (const auto& [name, sequence] : well_formed()) {
    const std::string payload = '"' + sequence + '"';
    out.push_back({"Takes" + name, {client_frame(Opcode::kText, around(sequence))}, {payload}});
    out.push_back(
        {"Takes" + name + "CutBehindEachByte", cut_behind_each_byte(sequence), {payload}});
  }
  out.push_back({"TakesControlCharactersAndNul",
                 {client_frame(Opcode::kText, std::string("\0\x01\x7f", 3))}});
  const std::string whole = around("\xf0\x9f\x98\x80");
  const size_t at = whole.find('\xf0');
  out.push_back({"TakesACharacterWithPingsInside",
                 {client_frame(Opcode::kText, whole.substr(0, at + 1), false), ping("\xff"),
                  client_frame(kContinuation, whole.substr(at + 1, 2), false), ping("\x9f"),
                  client_frame(kContinuation, whole.substr(at + 3))},
                 {"\"\xf0\x9f\x98\x80\""},
                 {"\xff", "\x9f"}});
  // Binary is not text: it ends nothing, but what is not JSON goes no further.
  out.push_back({"NeverPassesOnBinaryThatIsNotUtf8",
                 {client_frame(Opcode::kBinary, around("\xff\xfe")),
                  client_frame(Opcode::kBinary, around("\xed\xa0\x80")),
                  client_frame(Opcode::kBinary, around("\xc3"))}});
  return out;
}

std::vector<Conversation> refuses() {
  std::vector<Conversation> out;
  for (const auto& [name, sequence] : ill_formed()) {
    out.push_back(
        {"Refuses" + name, {client_frame(Opcode::kText, around(sequence)), ping()}, {}, {}, 1007});
    out.push_back({"Refuses" + name + "AtTheEnd",
                   {client_frame(Opcode::kText, "{" + sequence)},
                   {},
                   {},
                   1007});
    out.push_back(
        {"Refuses" + name + "CutBehindEachByte", cut_behind_each_byte(sequence), {}, {}, 1007});
    // The message goes on and on: only its bad part has come.
    auto unfinished = cut_behind_each_byte(sequence);
    unfinished.pop_back();
    unfinished.push_back(client_frame(kContinuation, "\" ", false));
    out.push_back({"Refuses" + name + "BeforeTheMessageEnds", unfinished, {}, {}, 1007});
  }
  for (const std::string start : {"\xc3", "\xe2", "\xe2\x82", "\xf0", "\xf0\x9f", "\xf0\x9f\x98"}) {
    const std::string name = "RefusesAnEndBehind" + std::to_string(start.size()) + "OfLead" +
                             std::to_string(static_cast<unsigned char>(start[0]));
    out.push_back({name, {client_frame(Opcode::kText, "a" + start)}, {}, {}, 1007});
    out.push_back({name + "InAFragment",
                   {client_frame(Opcode::kText, "a", false), client_frame(kContinuation, start)},
                   {},
                   {},
                   1007});
    out.push_back(
        {name + "InAnEmptyFragment",
         {client_frame(Opcode::kText, "a" + start, false), client_frame(kContinuation, "")},
         {},
         {},
         1007});
  }
  // The second byte alone makes these hopeless (Unicode, table 3-7).
  for (const std::string pair : {"\xe0\x9f", "\xed\xa0", "\xf0\x8f", "\xf4\x90"})
    out.push_back(
        {"RefusesLead" + std::to_string(static_cast<unsigned char>(pair[0])) + "AtItsSecondByte",
         {client_frame(Opcode::kText, pair.substr(0, 1), false),
          client_frame(kContinuation, pair.substr(1), false)},
         {},
         {},
         1007});
  return out;
}

INSTANTIATE_TEST_SUITE_P(WellFormed, Utf8Test, ::testing::ValuesIn(takes()), claim_of);
INSTANTIATE_TEST_SUITE_P(IllFormed, Utf8Test, ::testing::ValuesIn(refuses()), claim_of);

}  // namespace
}  // namespace raymesh::realtime
