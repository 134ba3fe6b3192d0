#include "libs/net/websocket/message_inflater.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>

#include "client_frame.hpp"

namespace raymesh::net::websocket {
namespace {

constexpr size_t kMax = 65'536;

std::string bytes(std::initializer_list<unsigned> list) {
  std::string out;
  for (const unsigned b : list) out += static_cast<char>(b);
  return out;
}

/// What a client's compressor makes of a message: a raw stream, flushed, without its tail.
std::string compressed(std::string_view text, int level = 6, int window_bits = 15) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, level, Z_DEFLATED, -window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, static_cast<uLong>(text.size())) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_SYNC_FLUSH), Z_OK);
  out.resize(out.size() - stream.avail_out - 4);
  deflateEnd(&stream);
  return out;
}

std::string repeated(std::string_view block, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += block;
  return out;
}

class MessageInflaterTest : public ::testing::Test {
 protected:
  struct Opened {
    uint16_t error = 0;
    std::string payload;
  };
  Opened open(std::string in, bool is_text = true, size_t max = kMax) {
    // On the heap at its exact size, so that a sanitizer sees a read beyond it.
    std::vector<char> exact(in.begin(), in.end());
    MessageAssembler::Message message{is_text, true, std::span<char>(exact)};
    Opened out;
    out.error = inflater_.open(message, max);
    if (out.error == 0) {
      EXPECT_FALSE(message.is_compressed);
      out.payload.assign(message.payload.data(), message.payload.size());
    }
    return out;
  }

  MessageInflater inflater_;
};

TEST_F(MessageInflaterTest, LeavesAnUncompressedMessageAlone) {
  std::string text = "Hello";
  MessageAssembler::Message message{.is_text = true, .payload = std::span<char>(text)};
  EXPECT_EQ(inflater_.open(message, 1), 0);
  EXPECT_EQ(message.payload.data(), text.data());
}

// RFC 7692 section 7.2.3.
TEST_F(MessageInflaterTest, OpensTheExamplesOfTheRfc) {
  const std::vector<std::pair<std::string, std::string>> examples = {
      {"one block", bytes({0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00})},
      {"no compression", bytes({0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00})},
      {"a final block", bytes({0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00})},
      {"two blocks",
       bytes({0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00})},
  };
  for (const auto& [name, in] : examples) {
    const auto got = open(in);
    EXPECT_EQ(got.error, 0) << name;
    EXPECT_EQ(got.payload, "Hello") << name;
  }
  const auto empty = open(bytes({0x00}));
  EXPECT_EQ(empty.error, 0);
  EXPECT_EQ(empty.payload, "");
}

// Section 7.2.3.2: the second message refers to the first, which nobody has agreed to.
TEST_F(MessageInflaterTest, RefusesAMessageThatRefersToTheOneBefore) {
  EXPECT_EQ(open(bytes({0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00})).payload, "Hello");
  EXPECT_EQ(open(bytes({0xf2, 0x00, 0x11, 0x00, 0x00})).error, 1007);
  EXPECT_EQ(open(bytes({0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00})).payload, "Hello");
}

TEST_F(MessageInflaterTest, OpensEveryLevelWindowAndSize) {
  for (const size_t size : {0u, 1u, 125u, 4'095u, 4'096u, 4'097u, 8'192u, 65'535u, 65'536u}) {
    std::string text;
    for (size_t i = 0; i < size; ++i) text += static_cast<char>('a' + i * i % 19);
    for (const int level : {0, 1, 6, 9})
      for (const int bits : {9, 12, 15}) {
        const auto got = open(compressed(text, level, bits));
        ASSERT_EQ(got.error, 0) << size << " " << level << " " << bits;
        ASSERT_EQ(got.payload, text) << size << " " << level << " " << bits;
      }
  }
}

TEST_F(MessageInflaterTest, GoesOnBehindBlocksMarkedAsFinal) {
  const std::string hello_final = bytes({0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00});
  EXPECT_EQ(open(repeated(hello_final, 3) + '\0').payload, "HelloHelloHello");
  // A distance does not reach over the end of a stream.
  EXPECT_EQ(open(hello_final + bytes({0xf2, 0x00, 0x11, 0x00, 0x00})).error, 1007);
  // Without the empty block behind it, the receiver's four bytes would be a block of nonsense.
  EXPECT_EQ(open(hello_final).error, 1007);
}

TEST_F(MessageInflaterTest, BoundsAMessageToTheByte) {
  for (const size_t max : {size_t{0}, size_t{1}, size_t{100}, size_t{4'096}, size_t{10'000}, kMax})
    for (const int level : {0, 6}) {
      EXPECT_EQ(open(compressed(std::string(max, 'x'), level), true, max).payload.size(), max);
      EXPECT_EQ(open(compressed(std::string(max + 1, 'x'), level), true, max).error, 1009) << max;
    }
  // A limit that was larger before leaves nothing behind.
  EXPECT_EQ(open(compressed(std::string(101, 'x')), true, 100).error, 1009);
}

TEST_F(MessageInflaterTest, StopsABombAtTheLimit) {
  const std::string bomb = compressed(std::string(64u << 20, '\0'), 9);
  ASSERT_LT(bomb.size(), 70'000u);
  EXPECT_EQ(open(bomb, false).error, 1009);
  EXPECT_EQ(open(bomb, false, 100).error, 1009);
  // Blocks without content never reach the limit; they end with the message.
  EXPECT_EQ(open(repeated(bytes({0x00, 0x00, 0x00, 0xff, 0xff}), 13'000) + '\0').payload, "");
  EXPECT_EQ(open(repeated(bytes({0x03, 0x00}), 32'000) + '\0').payload, "");
  EXPECT_EQ(open(compressed("still well")).payload, "still well");
}

TEST_F(MessageInflaterTest, RefusesAStreamThatIsCutAnywhere) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += std::to_string(i * 7919 % 1000);
  for (const int level : {0, 1, 9}) {
    const std::string whole = compressed(text, level);
    // The first byte of a stored block is by itself the empty message.
    for (size_t cut = level == 0 ? 2 : 0; cut < whole.size(); ++cut)
      ASSERT_EQ(open(whole.substr(0, cut)).error, 1007) << level << " " << cut;
    ASSERT_EQ(open(whole).payload, text);
    // The tail was to be taken off.
    EXPECT_EQ(open(whole + bytes({0x00, 0x00, 0xff, 0xff})).error, 1007);
  }
  EXPECT_EQ(open("").error, 1007);
}

TEST_F(MessageInflaterTest, RefusesGarbage) {
  for (const std::string& bad :
       {bytes({0xff}), bytes({0x07}), bytes({0x06, 0x00}), bytes({0x00, 0x05, 0x00, 0x00, 0x00}),
        std::string("Hello"), bytes({0x78, 0x9c, 0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}),
        bytes({0x1f, 0x8b, 0x08, 0x00}), std::string(100, '\xaa'), std::string(100, '\xff')})
    EXPECT_EQ(open(bad).error, 1007);
  EXPECT_EQ(open(compressed("still well")).payload, "still well");
}

TEST_F(MessageInflaterTest, ChecksTextForUtf8WhenItIsOpen) {
  EXPECT_EQ(open(compressed("\xc3\xa4\xf0\x9f\x98\x80")).payload, "\xc3\xa4\xf0\x9f\x98\x80");
  EXPECT_EQ(open(compressed("a\xed\xa0\x80")).error, 1007);
  EXPECT_EQ(open(compressed("ends inside \xe2\x82")).error, 1007);
  EXPECT_EQ(open(compressed("a\xed\xa0\x80"), false).payload, "a\xed\xa0\x80");
}

/// Parser, assembler and inflater as a connection uses them: what the bytes give, and how it ends.
struct Outcome {
  std::vector<std::string> events;
  uint16_t error = 0;
};

Outcome run(std::string in, Rsv1 rsv1 = Rsv1::kCompressed, size_t max = kMax) {
  Outcome out;
  MessageAssembler assembler;
  MessageInflater inflater;
  std::span<char> rest(in);
  while (!rest.empty() && out.error == 0) {
    Frame frame;
    const auto result = parse_client_frame(rest, max, frame, rsv1);
    out.error = result.error;
    if (result.status != ParseStatus::kFrame) break;
    rest = rest.subspan(result.bytes);
    if (is_control(frame.opcode)) {
      out.events.push_back("control " + std::string(frame.payload.data(), frame.payload.size()));
      continue;
    }
    MessageAssembler::Message message;
    if (assembler.add(frame, max, message, out.error) != MessageAssembler::Status::kMessage)
      continue;
    out.error = inflater.open(message, max);
    if (out.error == 0) out.events.emplace_back(message.payload.data(), message.payload.size());
    assembler.release();
  }
  return out;
}

constexpr unsigned kRsv1Text = 0xc1;

TEST(CompressedMessageTest, JoinsTheFragmentsOfTheRfc) {
  const auto got = run(raw_client_frame(0x41, bytes({0xf2, 0x48, 0xcd})) +
                       raw_client_frame(0x80, bytes({0xc9, 0xc9, 0x07, 0x00})));
  EXPECT_EQ(got.error, 0);
  EXPECT_EQ(got.events, std::vector<std::string>{"Hello"});
}

TEST(CompressedMessageTest, MixesWithPlainMessagesAndControlFrames) {
  const std::string hello = bytes({0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00});
  std::string in = client_frame(Opcode::kText, "plain") + raw_client_frame(kRsv1Text, hello) +
                   raw_client_frame(0x41, "");
  for (size_t i = 0; i < hello.size(); ++i)
    in += client_frame(Opcode::kPing, std::to_string(i)) +
          client_frame(Opcode::kContinuation, hello.substr(i, 1), false);
  in += client_frame(Opcode::kContinuation, "") + client_frame(Opcode::kText, "pl", false) +
        client_frame(Opcode::kContinuation, "ain") + raw_client_frame(0xc2, hello);
  const auto got = run(in);
  EXPECT_EQ(got.error, 0);
  EXPECT_EQ(got.events, (std::vector<std::string>{
                            "plain", "Hello", "control 0", "control 1", "control 2", "control 3",
                            "control 4", "control 5", "control 6", "Hello", "plain", "Hello"}));
}

TEST(CompressedMessageTest, IsRefusedWhereNobodyHasAgreedToIt) {
  const auto got = run(raw_client_frame(kRsv1Text, compressed("Hello")), Rsv1::kReserved);
  EXPECT_EQ(got.error, 1002);
}

// RFC 7692 section 6.1.
TEST(CompressedMessageTest, HasRsv1InItsFirstFrameAlone) {
  const std::string body = compressed("Hello");
  EXPECT_EQ(
      run(raw_client_frame(0x41, body.substr(0, 3)) + raw_client_frame(0xc0, body.substr(3))).error,
      1002);
  EXPECT_EQ(run(client_frame(Opcode::kText, "a", false) + raw_client_frame(0xc0, "b")).error, 1002);
  for (const unsigned control : {8u, 9u, 10u})
    EXPECT_EQ(run(raw_client_frame(0xc0 | control, "")).error, 1002);
  for (const unsigned bits : {0x20u, 0x10u, 0x30u, 0x50u, 0x60u, 0x70u})
    EXPECT_EQ(run(raw_client_frame(0x81 | bits, body)).error, 1002);
  for (const unsigned opcode : {3u, 7u, 11u, 15u})
    EXPECT_EQ(run(raw_client_frame(0xc0 | opcode, body)).error, 1002);
}

TEST(CompressedMessageTest, TextIsCheckedWhenItIsWholeAndPlainTextAtOnce) {
  // Compressed bytes are no text; what they hold is.
  const std::string bad = compressed("\xff");
  EXPECT_EQ(run(raw_client_frame(0x41, bad)).error, 0);
  EXPECT_EQ(run(raw_client_frame(kRsv1Text, bad)).error, 1007);
  EXPECT_EQ(run(raw_client_frame(0xc2, bad)).events, std::vector<std::string>{"\xff"});
  EXPECT_EQ(run(client_frame(Opcode::kText, "\xff", false)).error, 1007);
}

TEST(CompressedMessageTest, TheLargestMessageMayGrowByBeingCompressed) {
  std::string noise(kMax, '\0');
  uint32_t state = 1;
  for (char& c : noise) c = static_cast<char>((state = state * 1'664'525 + 1'013'904'223) >> 24);
  const std::string body = compressed(noise, 1);
  ASSERT_GT(body.size(), kMax);
  EXPECT_EQ(run(raw_client_frame(0xc2, body)).events, std::vector<std::string>{noise});
  EXPECT_EQ(run(raw_client_frame(0x42, body.substr(0, 60'000)) +
                raw_client_frame(0x80, body.substr(60'000)))
                .events,
            std::vector<std::string>{noise});
  EXPECT_EQ(run(client_frame(Opcode::kBinary, noise + "x")).error, 1009);
  EXPECT_EQ(run(raw_client_frame(0xc2, std::string(max_compressed_bytes(kMax) + 1, 'x'))).error,
            1009);
  EXPECT_EQ(run(raw_client_frame(0x42, std::string(kMax, 'x')) +
                raw_client_frame(0x00, std::string(kMax / 2, 'x')))
                .error,
            1009);
}

}  // namespace
}  // namespace raymesh::net::websocket
