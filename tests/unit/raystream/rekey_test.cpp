// The real boundary: 2^14 frames for real, in both directions. That the keys of the next epoch are
// the right ones is in known_answers_test.cpp.
#include <gtest/gtest.h>

#include <set>

#include "libs/base/encoding.hpp"
#include "tests/unit/raystream/pair.hpp"

namespace raymesh::raystream {
namespace {

struct Direction {
  Session& from;
  Session& to;
  FrameType type;
};

class RekeyTest : public testing::TestWithParam<bool> {
 protected:
  RekeyTest() {
    pair_.connect();
    pair_.attach();
  }
  Direction direction() {
    return GetParam() ? Direction{pair_.client, pair_.server, FrameType::kRpcCall}
                      : Direction{pair_.server, pair_.client, FrameType::kEvent};
  }
  Pair pair_;
};

INSTANTIATE_TEST_SUITE_P(Directions, RekeyTest, testing::Bool(),
                         [](const auto& p) { return p.param ? "FromClient" : "FromServer"; });

TEST_P(RekeyTest, ThreeEpochsPassAndNoNonceComesTwice) {
  const Direction d = direction();
  std::set<std::string> nonces;
  for (uint64_t epoch = 0; epoch < 3; ++epoch) {
    for (uint32_t sequence = 1; sequence <= kLastSequence; ++sequence) {
      std::string frame = seal(d.from, d.type, "x");
      char nonce[kNonceBytes];
      write_nonce(nonce, epoch, sequence);
      ASSERT_EQ(frame.substr(kHeaderBytes, kNonceBytes), std::string(nonce, kNonceBytes));
      ASSERT_TRUE(nonces.emplace(nonce, kNonceBytes).second);
      const Opened opened = open(d.to, std::move(frame));
      ASSERT_EQ(opened.code, ErrorCode::kNone) << epoch << " " << sequence;
      ASSERT_EQ(opened.payload, "x");
    }
  }
  EXPECT_EQ(nonces.size(), 3u * kLastSequence);
  EXPECT_EQ(d.to.expected().epoch, 3u);
  EXPECT_EQ(d.to.expected().sequence, 1u);
}

TEST_P(RekeyTest, TheOtherDirectionStaysInItsEpoch) {
  const Direction d = direction();
  for (uint32_t i = 0; i <= kLastSequence; ++i)
    ASSERT_EQ(open(d.to, seal(d.from, d.type)).code, ErrorCode::kNone);
  EXPECT_EQ(d.to.expected().epoch, 1u);
  EXPECT_EQ(d.from.expected().epoch, 0u);
  expect_passes(d.to, d.from, FrameType::kHeartbeat);
}

TEST_P(RekeyTest, AFrameOfTheOldEpochIsRefusedInTheNew) {
  const Direction d = direction();
  const std::string first = seal(d.from, d.type);
  ASSERT_EQ(open(d.to, first).code, ErrorCode::kNone);
  for (uint32_t i = 1; i < kLastSequence; ++i)
    ASSERT_EQ(open(d.to, seal(d.from, d.type)).code, ErrorCode::kNone);
  // The header is what is expected now, the nonce is that of epoch 0.
  ASSERT_EQ(d.to.expected().sequence, 1u);
  EXPECT_EQ(open(d.to, first).code, ErrorCode::kInvalidNonce);
}

TEST_P(RekeyTest, AnOldFrameUnderTheNewNonceIsRefused) {
  const Direction d = direction();
  std::string first = seal(d.from, d.type);
  ASSERT_EQ(open(d.to, first).code, ErrorCode::kNone);
  for (uint32_t i = 1; i < kLastSequence; ++i)
    ASSERT_EQ(open(d.to, seal(d.from, d.type)).code, ErrorCode::kNone);
  write_nonce(first.data() + kHeaderBytes, 1, 1);
  EXPECT_EQ(open(d.to, first).code, ErrorCode::kDecryptionFailed);
}

TEST_P(RekeyTest, NoSequenceGoesBeyondTheBoundary) {
  const Direction d = direction();
  for (uint32_t i = 1; i <= kLastSequence; ++i)
    ASSERT_EQ(open(d.to, seal(d.from, d.type)).code, ErrorCode::kNone);
  std::string frame(kFrameOverhead, '\0');
  write_header(frame.data(), d.type, kLastSequence + 1, 0);
  write_nonce(frame.data() + kHeaderBytes, 0, kLastSequence + 1);
  EXPECT_EQ(open(d.to, frame).code, ErrorCode::kInvalidNonce);
}

}  // namespace
}  // namespace raymesh::raystream
