#include "libs/net/websocket/frame.hpp"

#include <gtest/gtest.h>

#include "client_frame.hpp"

namespace raymesh::net::websocket {
namespace {

constexpr size_t kMax = 65'536;

std::string bytes(std::initializer_list<unsigned> list) {
  std::string out;
  for (const unsigned b : list) out += static_cast<char>(b);
  return out;
}

struct Parsed {
  ParseResult result;
  Frame frame;
  std::string payload;
};

Parsed parse(std::string in, size_t max = kMax) {
  Parsed p;
  p.result = parse_client_frame(std::span<char>(in), max, p.frame);
  if (p.result.status == ParseStatus::kFrame)
    p.payload.assign(p.frame.payload.data(), p.frame.payload.size());
  return p;
}

void expect_error(const std::string& in, uint16_t code) {
  const auto p = parse(in);
  EXPECT_EQ(p.result.status, ParseStatus::kError);
  EXPECT_EQ(p.result.error, code);
}

// RFC 6455 section 5.7.
TEST(FrameTest, ParsesTheMaskedHelloOfTheRfc) {
  const auto p = parse(bytes({0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}));
  ASSERT_EQ(p.result.status, ParseStatus::kFrame);
  EXPECT_EQ(p.result.bytes, 11u);
  EXPECT_EQ(p.frame.opcode, Opcode::kText);
  EXPECT_TRUE(p.frame.fin);
  EXPECT_EQ(p.payload, "Hello");
}

TEST(FrameTest, ParsesTheMaskedPongOfTheRfc) {
  const auto p = parse(bytes({0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}));
  ASSERT_EQ(p.result.status, ParseStatus::kFrame);
  EXPECT_EQ(p.frame.opcode, Opcode::kPong);
  EXPECT_EQ(p.payload, "Hello");
}

TEST(FrameTest, WritesTheUnmaskedExamplesOfTheRfc) {
  std::string hello;
  append_server_frame(hello, Opcode::kText, "Hello");
  EXPECT_EQ(hello, bytes({0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f}));
  std::string ping;
  append_server_frame(ping, Opcode::kPing, "Hello");
  EXPECT_EQ(ping, bytes({0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f}));

  std::string middle;
  append_server_frame(middle, Opcode::kBinary, std::string(256, 'x'));
  EXPECT_EQ(middle.substr(0, 4), bytes({0x82, 0x7e, 0x01, 0x00}));
  std::string large;
  append_server_frame(large, Opcode::kBinary, std::string(65'536, 'x'));
  EXPECT_EQ(large.substr(0, 10), bytes({0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0}));
}

TEST(FrameTest, RefusesTheUnmaskedExampleAsAClientsFrame) {
  expect_error(bytes({0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f}), 1002);
  expect_error(bytes({0x81, 0x05}), 1002);
}

TEST(FrameTest, ReadsEveryLengthForm) {
  for (const size_t n : {size_t{0}, size_t{1}, size_t{7}, size_t{8}, size_t{125}, size_t{126},
                         size_t{65'535}, size_t{65'536}, size_t{70'001}}) {
    std::string text;
    for (size_t i = 0; i < n; ++i) text += static_cast<char>(i * 31 + 7);
    const std::string in = client_frame(Opcode::kBinary, text);
    const auto p = parse(in, 1 << 20);
    ASSERT_EQ(p.result.status, ParseStatus::kFrame) << n;
    EXPECT_EQ(p.result.bytes, in.size()) << n;
    EXPECT_EQ(p.payload, text) << n;
  }
}

TEST(FrameTest, AsksForTheRestWhereverTheFrameIsCut) {
  for (const size_t n : {size_t{5}, size_t{300}, size_t{66'000}}) {
    const std::string whole = client_frame(Opcode::kText, std::string(n, 'a'));
    for (size_t cut = 0; cut < std::min<size_t>(whole.size(), 400); ++cut) {
      const auto p = parse(whole.substr(0, cut), 1 << 20);
      ASSERT_EQ(p.result.status, ParseStatus::kNeedMore) << n << " " << cut;
      EXPECT_GT(p.result.bytes, cut);
      EXPECT_LE(p.result.bytes, whole.size());
    }
    EXPECT_EQ(parse(whole.substr(0, whole.size() - 1), 1 << 20).result.bytes, whole.size());
  }
}

TEST(FrameTest, RefusesReservedBitsAndOpcodes) {
  for (const unsigned bit : {0x40u, 0x20u, 0x10u})
    expect_error(raw_client_frame(0x81 | bit, "x"), 1002);
  for (const unsigned opcode : {3u, 4u, 5u, 6u, 7u, 11u, 12u, 13u, 14u, 15u})
    expect_error(raw_client_frame(0x80 | opcode, "x"), 1002);
}

TEST(FrameTest, RefusesBadControlFramesBeforeTheirPayloadHasCome) {
  for (const unsigned opcode : {8u, 9u, 10u}) {
    expect_error(raw_client_frame(opcode, "x"), 1002);
    expect_error(raw_client_frame(0x80 | opcode, std::string(126, 'x')), 1002);
    expect_error(bytes({0x80 | opcode, 0xfe}), 1002);
    EXPECT_EQ(parse(raw_client_frame(0x80 | opcode, std::string(125, 'x'))).result.status,
              ParseStatus::kFrame);
  }
}

TEST(FrameTest, RefusesLengthsThatAreNotInTheirShortestForm) {
  expect_error(bytes({0x82, 0xfe, 0x00, 0x7d, 1, 2, 3, 4}), 1002);
  expect_error(bytes({0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4}), 1002);
  expect_error(bytes({0x82, 0xff, 0x80, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4}), 1002);
}

TEST(FrameTest, RefusesAPayloadAboveTheLimitFromItsHeaderAlone) {
  expect_error(bytes({0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 1}), 1009);
  expect_error(bytes({0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), 1009);
  EXPECT_EQ(parse(client_frame(Opcode::kBinary, std::string(kMax, 'x'))).result.status,
            ParseStatus::kFrame);
}

TEST(FrameTest, UnmasksEveryLengthAndAlignment) {
  const unsigned char mask[4] = {0x12, 0x34, 0x56, 0x78};
  for (size_t offset = 0; offset < 9; ++offset) {
    for (size_t n = 0; n < 40; ++n) {
      std::string buffer(offset + n, 'q');
      apply_mask(std::span<char>(buffer).subspan(offset), mask);
      for (size_t i = 0; i < n; ++i)
        ASSERT_EQ(static_cast<unsigned char>(buffer[offset + i]), 'q' ^ mask[i % 4]);
      EXPECT_EQ(buffer.substr(0, offset), std::string(offset, 'q'));
    }
  }
}

TEST(FrameTest, WalksOverItsOwnFrames) {
  for (const size_t n : {size_t{0}, size_t{125}, size_t{126}, size_t{65'535}, size_t{65'536}}) {
    std::string out;
    append_server_frame(out, Opcode::kText, std::string(n, 'x'));
    EXPECT_EQ(server_frame_bytes(out.data()), out.size());
    EXPECT_EQ(out.size(), n + server_header_bytes(n));
  }
}

TEST(CloseFrameTest, KnowsWhichCodesMayBeOnTheWire) {
  for (const unsigned code : {1000u, 1001u, 1002u, 1003u, 1007u, 1008u, 1009u, 1010u, 1011u, 1012u,
                              1013u, 1014u, 3000u, 3999u, 4000u, 4408u, 4999u})
    EXPECT_TRUE(is_valid_close_code(static_cast<uint16_t>(code))) << code;
  for (const unsigned code :
       {0u, 1u, 999u, 1004u, 1005u, 1006u, 1015u, 1016u, 1100u, 2000u, 2999u, 5000u, 65'535u})
    EXPECT_FALSE(is_valid_close_code(static_cast<uint16_t>(code))) << code;
}

TEST(CloseFrameTest, ReadsCodeAndReason) {
  ClosePayload close;
  EXPECT_EQ(parse_close_payload("", close), 0);
  EXPECT_EQ(close.code, 0);
  EXPECT_EQ(parse_close_payload(bytes({0x03, 0xe8}), close), 0);
  EXPECT_EQ(close.code, 1000);
  const std::string bye = bytes({0x03, 0xe9}) + "bye";  // what close.reason points into
  EXPECT_EQ(parse_close_payload(bye, close), 0);
  EXPECT_EQ(close.code, 1001);
  EXPECT_EQ(close.reason, "bye");
  EXPECT_EQ(parse_close_payload("x", close), 1002);
  EXPECT_EQ(parse_close_payload(bytes({0x03, 0xed}), close), 1002);
  EXPECT_EQ(parse_close_payload(bytes({0x03, 0xe8, 0xff}), close), 1007);
}

TEST(CloseFrameTest, CutsALongReasonAtACharacter) {
  std::string reason;
  for (int i = 0; i < 100; ++i) reason += "\xc3\xa4";
  const std::string frame = close_frame(4408, reason);
  EXPECT_EQ(frame.size(), 2u + 2 + 122);
  EXPECT_EQ(frame.substr(2, 2), bytes({0x11, 0x38}));
  EXPECT_EQ(close_frame(0, ""), bytes({0x88, 0x00}));
}

}  // namespace
}  // namespace raymesh::net::websocket
