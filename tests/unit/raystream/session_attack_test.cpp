// Somebody between client and server has all their frames and sends what he likes.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/raystream/pair.hpp"

namespace raymesh::raystream {
namespace {

struct SessionAttackTest : testing::TestWithParam<Cipher> {
  Pair pair;

  SessionAttackTest() {
    pair.connect({.pinned = {pin(pair.keys)}, .ciphers = {GetParam()}});
    pair.attach();
  }

  /// A fresh session of the same cipher.
  void renew() {
    pair.connect({.pinned = {pin(pair.keys)}, .ciphers = {GetParam()}});
    pair.attach();
  }
};

INSTANTIATE_TEST_SUITE_P(Ciphers, SessionAttackTest,
                         testing::Values(Cipher::kChaCha20Poly1305, Cipher::kAes256Gcm),
                         [](const auto& p) {
                           return p.param == Cipher::kAes256Gcm ? "Aes256Gcm" : "ChaCha20Poly1305";
                         });

TEST_P(SessionAttackTest, Replay) {
  const std::string frame = seal(pair.client, FrameType::kRpcCall, "pay 100");
  EXPECT_EQ(open(pair.server, frame).code, ErrorCode::kNone);
  EXPECT_EQ(open(pair.server, frame).code, ErrorCode::kInvalidNonce);
}

TEST_P(SessionAttackTest, ReplayUnderTheNextSequence) {
  std::string frame = seal(pair.client, FrameType::kRpcCall, "pay 100");
  EXPECT_EQ(open(pair.server, frame).code, ErrorCode::kNone);
  write_header(frame.data(), FrameType::kRpcCall, 2, 7);
  write_nonce(frame.data() + kHeaderBytes, 0, 2);
  EXPECT_EQ(open(pair.server, frame).code, ErrorCode::kDecryptionFailed);
}

TEST_P(SessionAttackTest, Reordering) {
  const std::string first = seal(pair.client, FrameType::kRpcCall, "first");
  const std::string second = seal(pair.client, FrameType::kRpcCall, "second");
  EXPECT_EQ(open(pair.server, second).code, ErrorCode::kInvalidNonce);
  EXPECT_EQ(open(pair.server, first).code, ErrorCode::kInvalidRequest);  // it is over
}

TEST_P(SessionAttackTest, Omission) {
  (void)seal(pair.client, FrameType::kRpcCall, "dropped on the way");
  EXPECT_EQ(open(pair.server, seal(pair.client, FrameType::kRpcCall)).code,
            ErrorCode::kInvalidNonce);
}

TEST_P(SessionAttackTest, Truncation) {
  const std::string frame = seal(pair.client, FrameType::kRpcCall, "0123456789");
  for (size_t cut = 1; cut <= 10; ++cut) {
    renew();
    // With the length that fits what is left, and the tag, or the bytes in its place.
    const std::string whole = seal(pair.client, FrameType::kRpcCall, "0123456789");
    for (const bool keep_tag : {true, false}) {
      Pair& other = pair;
      std::string shorter =
          keep_tag ? whole.substr(0, kPayloadOffset + 10 - cut) + whole.substr(kPayloadOffset + 10)
                   : whole.substr(0, whole.size() - cut);
      write_header(shorter.data(), FrameType::kRpcCall, 1, static_cast<uint32_t>(10 - cut));
      EXPECT_EQ(open(other.server, shorter).code,
                keep_tag ? ErrorCode::kDecryptionFailed : ErrorCode::kInvalidRequest);
    }
  }
}

TEST_P(SessionAttackTest, Reflection) {
  EXPECT_EQ(open(pair.client, seal(pair.client, FrameType::kHeartbeat)).code,
            ErrorCode::kDecryptionFailed);
  EXPECT_EQ(open(pair.server, seal(pair.server, FrameType::kHeartbeat)).code,
            ErrorCode::kDecryptionFailed);
}

TEST_P(SessionAttackTest, CrossSessionSplice) {
  Pair other;
  other.connect({.pinned = {pin(other.keys)}, .ciphers = {GetParam()}});
  other.attach();
  EXPECT_EQ(open(pair.server, seal(other.client, FrameType::kRpcCall)).code,
            ErrorCode::kDecryptionFailed);
  EXPECT_EQ(open(pair.client, seal(other.server, FrameType::kEvent)).code,
            ErrorCode::kDecryptionFailed);
}

TEST_P(SessionAttackTest, EveryFlippedBitOfAFrame) {
  const size_t bits = seal(pair.client, FrameType::kRpcCall, "payload").size() * 8;
  for (size_t bit_index = 0; bit_index < bits; ++bit_index) {
    renew();
    std::string frame = seal(pair.client, FrameType::kRpcCall, "payload");
    const size_t at = bit_index / 8;
    frame[at] = static_cast<char>(frame[at] ^ (1 << bit_index % 8));
    const Opened opened = open(pair.server, frame);
    EXPECT_NE(opened.code, ErrorCode::kNone) << bit_index;
    if (at >= kPayloadOffset) {
      EXPECT_EQ(opened.code, ErrorCode::kDecryptionFailed) << bit_index;
    }
  }
}

// A type that may come now, so that only the tag can show it.
TEST_P(SessionAttackTest, TheTypeIsPartOfWhatTheTagCovers) {
  std::string frame = seal(pair.client, FrameType::kRpcCall, "payload");
  frame[1] = static_cast<char>(FrameType::kSubscribe);
  EXPECT_EQ(open(pair.server, frame).code, ErrorCode::kDecryptionFailed);
}

TEST_P(SessionAttackTest, NothingIsLeftOfAPayloadWhoseTagDoesNotFit) {
  for (const size_t size : {10, 5'000}) {
    renew();
    std::string frame = seal(pair.client, FrameType::kRpcCall, std::string(size, 'x'));
    frame.back() = static_cast<char>(frame.back() ^ 1);
    Incoming incoming;
    EXPECT_EQ(pair.server.open({frame.data(), frame.size()}, incoming).code,
              ErrorCode::kDecryptionFailed);
    EXPECT_TRUE(incoming.payload.empty());
    EXPECT_EQ(frame.substr(kPayloadOffset, size), std::string(size, '\0'));
  }
}

TEST_P(SessionAttackTest, AfterARefusalOnlyCloseLeavesAndNothingEnters) {
  const std::string good = seal(pair.client, FrameType::kRpcCall, "good");
  std::string bad = good;
  bad.back() = static_cast<char>(bad.back() ^ 1);
  EXPECT_EQ(open(pair.server, bad).code, ErrorCode::kDecryptionFailed);
  EXPECT_NE(open(pair.server, good).code, ErrorCode::kNone);
  EXPECT_EQ(parse_frame(good, pair.server.expected()).status, ParseStatus::kRefused);
  OutgoingBuffer out;
  EXPECT_EQ(pair.server.seal(FrameType::kEvent, "", out), Sent::kNotNow);
  EXPECT_FALSE(pair.server.closed());
  pair.server.close(ErrorCode::kDecryptionFailed, "the tag does not fit", out);
  const Opened opened = open(pair.client, take(out));
  EXPECT_EQ(opened.type, FrameType::kClose);
  EXPECT_EQ(read_close(opened.payload).code, ErrorCode::kDecryptionFailed);
}

TEST_P(SessionAttackTest, APlainCloseEndsNoSession) {
  OutgoingBuffer out;
  append_plain_close(ErrorCode::kNone, "", out);
  EXPECT_EQ(open(pair.client, take(out)).code, ErrorCode::kInvalidNonce);
  // With the sequence that is next it is an encrypted frame whose tag does not fit.
  renew();
  std::string frame(kFrameOverhead, '\0');
  write_header(frame.data(), FrameType::kClose, 1, 0);
  write_nonce(frame.data() + kHeaderBytes, 0, 1);
  EXPECT_EQ(open(pair.client, frame).code, ErrorCode::kDecryptionFailed);
}

TEST_P(SessionAttackTest, TheConfirmationTagIsNoFrame) {
  // RESPONSE again, in the session that it began.
  EXPECT_EQ(open(pair.client, pair.response).code, ErrorCode::kInvalidRequest);
  // Its tag as that of an empty frame.
  renew();
  std::string frame(kPayloadOffset, '\0');
  write_header(frame.data(), FrameType::kHeartbeat, 1, 0);
  write_nonce(frame.data() + kHeaderBytes, 0, 1);
  frame += pair.response.substr(pair.response.size() - kTagBytes);
  EXPECT_EQ(open(pair.client, frame).code, ErrorCode::kDecryptionFailed);
}

TEST_P(SessionAttackTest, MoreOrLessThanOneFrameIsNone) {
  const std::string frame = seal(pair.client, FrameType::kRpcCall);
  EXPECT_EQ(open(pair.server, frame + "x").code, ErrorCode::kInvalidRequest);
  renew();
  EXPECT_EQ(open(pair.server, "").code, ErrorCode::kInvalidRequest);
}

}  // namespace
}  // namespace raymesh::raystream
