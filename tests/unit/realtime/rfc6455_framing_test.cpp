// RFC 6455 sections 5.2, 5.3, 5.5 and 5.8: lengths, masks, pings and pongs, reserved bits and
// opcodes.
#include "rfc6455_fixture.hpp"

namespace raymesh::realtime {
namespace {

class FramingTest : public Rfc6455Test {};
TEST_P(FramingTest, Holds) {
  hold(GetParam());
}

std::vector<Conversation> lengths() {
  std::vector<Conversation> out;
  for (const size_t size : {125u, 126u, 127u, 128u, 65'535u, 65'536u}) {
    const std::string payload = payload_for(size);
    const std::string text = publishing(payload);
    const std::string name = std::to_string(size) + "Bytes";
    out.push_back({"TakesTextOf" + name, {client_frame(Opcode::kText, text)}, {payload}});
    out.push_back({"TakesBinaryOf" + name, {client_frame(Opcode::kBinary, text)}, {payload}});
  }
  // Too short for a publish: they say nothing, and end nothing.
  for (const size_t size : {0u, 1u, 7u})
    out.push_back({"TakesMessagesOf" + std::to_string(size) + "Bytes",
                   {client_frame(Opcode::kText, std::string(size, 'x')),
                    client_frame(Opcode::kBinary, std::string(size, '\xff'))}});

  // Section 5.2: the minimal number of bytes, and the most significant bit is 0.
  const std::string mask = "\x01\x02\x03\x04";
  out.push_back({"Refuses125BytesInTheForm16", {bytes({0x81, 0xfe, 0, 125}) + mask}, {}, {}, 1002});
  out.push_back({"Refuses65535BytesInTheForm64",
                 {bytes({0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff}) + mask},
                 {},
                 {},
                 1002});
  out.push_back({"RefusesALengthWithItsTopBitSet",
                 {bytes({0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0})},
                 {},
                 {},
                 1002});
  out.push_back({"RefusesAHugeLengthFromTheHeaderAlone",
                 {bytes({0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})},
                 {},
                 {},
                 1009});
  return out;
}

std::vector<Conversation> masks() {
  std::vector<Conversation> out;
  const std::string text = publishing("1");
  out.push_back(
      {"TakesAMaskOfZeroBytes", {raw_client_frame(0x81, text, std::string(4, '\0'))}, {"1"}});
  out.push_back({"TakesADifferentMaskInEachFrame",
                 {raw_client_frame(0x81, publishing("1"), "\xff\xff\xff\xff"),
                  raw_client_frame(0x81, publishing("2"), "\x80\x40\x20\x10"),
                  raw_client_frame(0x01, publishing("3").substr(0, 5), "abcd"),
                  raw_client_frame(0x80, publishing("3").substr(5), "efgh")},
                 {"1", "2", "3"}});
  for (const unsigned opcode : {0u, 1u, 2u, 8u, 9u, 10u})
    out.push_back({"RefusesOpcode" + std::to_string(opcode) + "WithoutAMask",
                   {text_frame("1"), bytes({0x80 | opcode, 0x02, 0x03, 0xe8})},
                   {"1"},
                   {},
                   1002});
  return out;
}

std::vector<Conversation> pings() {
  const std::string binary = bytes({0x00, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0x00, 0xff});
  const std::string longest(125, '\xfe');
  std::vector<std::string> ten;
  std::vector<std::string> ten_pongs;
  for (int i = 0; i < 10; ++i) {
    ten_pongs.push_back("payload-" + std::to_string(i));
    ten.push_back(ping(ten_pongs.back()));
  }
  return {
      {"AnswersAnEmptyPing", {ping()}, {}, {""}},
      {"AnswersAPingWithItsText", {ping("Hello, world!")}, {}, {"Hello, world!"}},
      {"AnswersAPingWithItsBytes", {ping(binary)}, {}, {binary}},
      {"AnswersThePingOf125Bytes", {ping(longest)}, {}, {longest}},
      {"RefusesAPingOf126Bytes", {ping(std::string(126, 'x'))}, {}, {}, 1002},
      {"RefusesAPongOf126Bytes", {pong(std::string(126, 'x'))}, {}, {}, 1002},
      {"RefusesAPingWithALongFormFromItsHeader", {bytes({0x89, 0xff})}, {}, {}, 1002},
      {"IgnoresAPongThatNobodyAskedFor", {pong(), pong("unasked")}},
      {"AnswersThePingBehindAnUnaskedPong", {pong("unasked"), ping("asked")}, {}, {"asked"}},
      {"AnswersTenPingsInOrder", ten, {}, ten_pongs},
      {"AnswersPingsBetweenMessages",
       {ping("1"), text_frame("1"), ping("2"), text_frame("2")},
       {"1", "2"},
       {"1", "2"}},
      {"RefusesAFragmentedPing",
       {client_frame(Opcode::kPing, "a", false), client_frame(Opcode::kContinuation, "b")},
       {},
       {},
       1002},
      {"RefusesAFragmentedPong",
       {client_frame(Opcode::kPong, "a", false), client_frame(Opcode::kContinuation, "b")},
       {},
       {},
       1002},
      {"RefusesAFragmentedClose", {client_frame(Opcode::kClose, "\x03\xe8", false)}, {}, {}, 1002},
  };
}

std::vector<Conversation> reserved_bits() {
  std::vector<Conversation> out;
  const std::string text = publishing("2");
  for (unsigned rsv = 1; rsv <= 7; ++rsv) {
    const unsigned bits = rsv << 4;
    const std::string name = "Rsv" + std::to_string(rsv);
    out.push_back(
        {"Refuses" + name + "InText", {raw_client_frame(0x81 | bits, text)}, {}, {}, 1002});
    out.push_back(
        {"Refuses" + name + "InBinary", {raw_client_frame(0x82 | bits, text)}, {}, {}, 1002});
    out.push_back({"Refuses" + name + "BehindAGoodMessage",
                   {text_frame("1"), ping("p"), raw_client_frame(0x81 | bits, text), ping()},
                   {"1"},
                   {"p"},
                   1002});
    out.push_back({"Refuses" + name + "InAContinuation",
                   {raw_client_frame(0x01, "{"), raw_client_frame(0x80 | bits, "}")},
                   {},
                   {},
                   1002});
    for (const unsigned opcode : {8u, 9u, 10u})
      out.push_back({"Refuses" + name + "InControl" + std::to_string(opcode),
                     {raw_client_frame(0x80 | bits | opcode, "\x03\xe8")},
                     {},
                     {},
                     1002});
  }
  return out;
}

std::vector<Conversation> reserved_opcodes() {
  std::vector<Conversation> out;
  for (const unsigned opcode : {3u, 4u, 5u, 6u, 7u, 11u, 12u, 13u, 14u, 15u}) {
    const std::string name = "RefusesOpcode" + std::to_string(opcode);
    out.push_back({name + "Empty", {raw_client_frame(0x80 | opcode, "")}, {}, {}, 1002});
    out.push_back(
        {name + "WithPayload", {raw_client_frame(0x80 | opcode, publishing("1"))}, {}, {}, 1002});
    out.push_back({name + "BetweenGoodMessages",
                   {text_frame("1"), raw_client_frame(0x80 | opcode, "x"), text_frame("2"), ping()},
                   {"1"},
                   {},
                   1002});
    out.push_back({name + "FromItsFirstTwoBytes", {bytes({0x80 | opcode, 0xfe})}, {}, {}, 1002});
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Lengths, FramingTest, ::testing::ValuesIn(lengths()), claim_of);
INSTANTIATE_TEST_SUITE_P(Masks, FramingTest, ::testing::ValuesIn(masks()), claim_of);
INSTANTIATE_TEST_SUITE_P(Pings, FramingTest, ::testing::ValuesIn(pings()), claim_of);
INSTANTIATE_TEST_SUITE_P(ReservedBits, FramingTest, ::testing::ValuesIn(reserved_bits()), claim_of);
INSTANTIATE_TEST_SUITE_P(ReservedOpcodes, FramingTest, ::testing::ValuesIn(reserved_opcodes()),
                         claim_of);

}  // namespace
}  // namespace raymesh::realtime
