#include "libs/raystream/frame.hpp"

#include <gtest/gtest.h>

#include <string>

#include "libs/base/encoding.hpp"

namespace raymesh::raystream {
namespace {

constexpr FrameType kAllTypes[] = {FrameType::kHandshakeInit, FrameType::kHandshakeResponse,
                                   FrameType::kResume,        FrameType::kRpcCall,
                                   FrameType::kRpcResponse,   FrameType::kRpcError,
                                   FrameType::kSubscribe,     FrameType::kEvent,
                                   FrameType::kHeartbeat,     FrameType::kClose};

const Expected kExpected{.types = bit(FrameType::kRpcCall) | bit(FrameType::kClose),
                         .max_payload = 1'000,
                         .epoch = 0x0102030405060708,
                         .sequence = 0x1234};

std::string frame(size_t payload_bytes) {
  std::string out(kFrameOverhead + payload_bytes, 'x');
  write_header(out.data(), FrameType::kRpcCall, kExpected.sequence,
               static_cast<uint32_t>(payload_bytes));
  write_nonce(out.data() + kHeaderBytes, kExpected.epoch, kExpected.sequence);
  return out;
}

TEST(FrameTest, IsLaidOutAsTheProtocolSays) {
  EXPECT_EQ(hex_encode(frame(3).substr(0, kPayloadOffset)),
            "01100000"
            "00001234"
            "00000003"
            "00000000"
            "0102030405060708"
            "00001234");
}

TEST(FrameTest, EveryTypeHasItsOwnBit) {
  FrameTypes seen = 0;
  for (const FrameType type : kAllTypes) {
    EXPECT_EQ(seen & bit(type), 0u) << name_of(type);
    seen |= bit(type);
  }
  int known = 0;
  for (int byte = 0; byte < 256; ++byte) known += bit(static_cast<FrameType>(byte)) != 0;
  EXPECT_EQ(known, 10);
}

TEST(FrameTest, IsWholeWithItsLastByteAndNotBefore) {
  const std::string whole = frame(10) + "what comes after it";
  for (size_t size = 0; size < kFrameOverhead + 10; ++size) {
    const ParsedFrame parsed = parse_frame(std::string_view(whole).substr(0, size), kExpected);
    EXPECT_EQ(parsed.status, ParseStatus::kNeedMore) << size;
    EXPECT_GT(parsed.bytes, size);
    EXPECT_EQ(parsed.bytes, size < kHeaderBytes ? kFrameOverhead : kFrameOverhead + 10) << size;
  }
  const ParsedFrame parsed = parse_frame(whole, kExpected);
  EXPECT_EQ(parsed.status, ParseStatus::kFrame);
  EXPECT_EQ(parsed.bytes, kFrameOverhead + 10);
  EXPECT_EQ(parsed.type, FrameType::kRpcCall);
}

TEST(FrameTest, TakesPayloadsUpToTheLimit) {
  EXPECT_EQ(parse_frame(frame(0), kExpected).status, ParseStatus::kFrame);
  EXPECT_EQ(parse_frame(frame(1'000), kExpected).status, ParseStatus::kFrame);
  EXPECT_EQ(parse_frame(frame(1'001), kExpected).refusal.code, ErrorCode::kInvalidRequest);
}

TEST(FrameTest, RefusesAHugeLengthFromTheHeaderAlone) {
  for (const uint32_t size : {1'001U, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
    char header[kHeaderBytes];
    write_header(header, FrameType::kRpcCall, kExpected.sequence, size);
    const ParsedFrame parsed = parse_frame({header, kHeaderBytes}, kExpected);
    EXPECT_EQ(parsed.status, ParseStatus::kRefused) << size;
    EXPECT_EQ(parsed.refusal.code, ErrorCode::kInvalidRequest) << size;
  }
}

TEST(FrameTest, RefusesAnotherVersionWithItsFirstByte) {
  EXPECT_EQ(parse_frame("GET / HTTP/1.1", kExpected).refusal.code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(parse_frame("\x02", kExpected).refusal.code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(parse_frame("\x01", kExpected).status, ParseStatus::kNeedMore);
}

// Every bit of header and nonce that is not the payload's length, one at a time.
TEST(FrameTest, RefusesEveryFlippedBitOfHeaderAndNonce) {
  const std::string good = frame(1'000);
  for (size_t bit_index = 0; bit_index < kPayloadOffset * 8; ++bit_index) {
    const size_t at = bit_index / 8;
    std::string flipped = good;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit_index % 8));
    const ParsedFrame parsed = parse_frame(flipped, kExpected);
    if (at >= 8 && at < 12) {
      // A shorter length is a frame of that length (whose tag will not fit); a longer one is
      // refused.
      const bool shorter = parsed.status == ParseStatus::kFrame && parsed.bytes < good.size();
      EXPECT_TRUE(shorter || parsed.refusal.code == ErrorCode::kInvalidRequest) << bit_index;
      continue;
    }
    EXPECT_EQ(parsed.status, ParseStatus::kRefused) << bit_index;
    const bool nonce = (at >= 4 && at < 8) || at >= kHeaderBytes;
    EXPECT_EQ(parsed.refusal.code, nonce ? ErrorCode::kInvalidNonce : ErrorCode::kInvalidRequest)
        << bit_index;
  }
}

TEST(FrameTest, NothingIsExpectedWhereNoTypeIs) {
  for (const FrameType type : kAllTypes) {
    char header[kHeaderBytes];
    write_header(header, type, 0, 0);
    EXPECT_EQ(parse_frame({header, kHeaderBytes}, {}).refusal.code, ErrorCode::kInvalidRequest);
  }
}

TEST(ProtocolTest, NamesOfCiphersGoBothWays) {
  for (const Cipher cipher : {Cipher::kChaCha20Poly1305, Cipher::kAes256Gcm})
    EXPECT_EQ(cipher_of(name_of(cipher)), cipher);
  EXPECT_EQ(cipher_of("AES-256-GCM"), std::nullopt);
  EXPECT_EQ(cipher_of(""), std::nullopt);
}

}  // namespace
}  // namespace raymesh::raystream
