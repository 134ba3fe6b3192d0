#include "libs/raystream/frame_stream.hpp"

#include <gtest/gtest.h>

#include "tests/unit/raystream/pair.hpp"

namespace raymesh::raystream {
namespace {

/// Frames of these payload sizes, one behind the other.
std::string sealed_frames(Session& from, const std::vector<size_t>& sizes) {
  OutgoingBuffer out;
  for (const size_t size : sizes)
    EXPECT_EQ(from.seal(FrameType::kRpcCall, std::string(size, 'p'), out), Sent::kOk);
  return take(out);
}

/// What comes out of `bytes` when each read brings `step` of them.
std::vector<size_t> read_all(Session& to, FrameStream& stream, std::string bytes, size_t step) {
  std::vector<size_t> sizes;
  for (size_t at = 0; at < bytes.size(); at += step) {
    // A buffer of its own per read, so that a sanitizer sees who keeps a pointer into it.
    std::vector<char> read(
        bytes.begin() + static_cast<ptrdiff_t>(at),
        bytes.begin() + static_cast<ptrdiff_t>(std::min(at + step, bytes.size())));
    stream.feed(read);
    while (true) {
      const FrameStream::Next next = stream.next(to.expected());
      if (next.status == ParseStatus::kNeedMore) break;
      EXPECT_EQ(next.status, ParseStatus::kFrame);
      if (next.status != ParseStatus::kFrame) return sizes;
      Incoming incoming;
      EXPECT_FALSE(to.open(next.frame, incoming));
      sizes.push_back(incoming.payload.size());
    }
  }
  return sizes;
}

TEST(FrameStreamTest, FindsTheSameFramesHoweverTheyAreCut) {
  const std::vector<size_t> sizes{0, 1, 5'000, 0, 16'384, 3, 70'000, 44, 0, 0, 100'000, 7};
  for (const size_t step : {1, 2, 15, 16, 27, 28, 43, 44, 45, 4'096, 65'536, 1'000'000}) {
    Pair pair;
    pair.connect();
    pair.attach();
    FrameBudget budget(1'000'000);
    FrameStream stream(budget);
    EXPECT_EQ(read_all(pair.server, stream, sealed_frames(pair.client, sizes), step), sizes)
        << step;
    EXPECT_EQ(budget.used(), 0u) << step;
    EXPECT_EQ(stream.buffered(), 0u) << step;
  }
}

TEST(FrameStreamTest, WholeFramesAreNotCopied) {
  Pair pair;
  pair.connect();
  FrameBudget budget(0);
  FrameStream stream(budget);
  std::string bytes = sealed_frames(pair.client, {10, 20});
  stream.feed({bytes.data(), bytes.size()});
  FrameStream::Next next = stream.next(pair.server.expected());
  ASSERT_EQ(next.status, ParseStatus::kFrame);
  EXPECT_EQ(next.frame.data(), bytes.data());
  Incoming incoming;
  ASSERT_FALSE(pair.server.open(next.frame, incoming));
  next = stream.next(pair.server.expected());
  EXPECT_EQ(next.frame.data(), bytes.data() + kFrameOverhead + 10);
}

TEST(FrameStreamTest, HoldsNoMoreThanAboutTwiceWhatHasCome) {
  Pair pair;
  pair.connect();
  pair.attach();
  FrameBudget budget(10'000'000);
  FrameStream stream(budget);
  std::string bytes = sealed_frames(pair.client, {kMaxPayload});
  size_t come = 0;
  for (const size_t piece : {44, 1'000, 10'000, 100'000}) {
    stream.feed({bytes.data() + come, piece});
    ASSERT_EQ(stream.next(pair.server.expected()).status, ParseStatus::kNeedMore);
    come += piece;
    EXPECT_EQ(stream.buffered(), come);
    EXPECT_LE(budget.used(), 2 * come);
  }
  EXPECT_GE(budget.used(), come);
}

TEST(FrameStreamTest, HalfFramesStayWithinTheBudget) {
  FrameBudget budget(100'000);
  std::vector<std::unique_ptr<FrameStream>> streams;
  size_t refused = 0;
  for (int i = 0; i < 1'000; ++i) {
    Pair pair;
    if (i == 0) pair.connect();
    streams.push_back(std::make_unique<FrameStream>(budget));
    char header[kHeaderBytes + 1'000] = {};
    write_header(header, FrameType::kHandshakeInit, 0, 4'000);
    streams.back()->feed({header, sizeof header});
    const FrameStream::Next next = streams.back()->next(ServerHandshake::expected());
    refused += next.status == ParseStatus::kRefused;
    if (next.status == ParseStatus::kRefused) {
      EXPECT_EQ(next.refusal.code, ErrorCode::kServiceUnavailable);
    }
    EXPECT_LE(budget.used(), 100'000u);
  }
  EXPECT_GT(refused, 900u);
  streams.clear();
  EXPECT_EQ(budget.used(), 0u);
}

TEST(FrameStreamTest, MovesFromTheBudgetOfStrangers) {
  FrameBudget strangers(1'000);
  FrameBudget attached(1'000);
  FrameBudget full(10);
  FrameStream stream(strangers);
  char bytes[20] = {};
  write_header(bytes, FrameType::kHandshakeInit, 0, 100);
  stream.feed({bytes, sizeof bytes});
  ASSERT_EQ(stream.next(ServerHandshake::expected()).status, ParseStatus::kNeedMore);
  const size_t used = strangers.used();
  EXPECT_GT(used, 0u);
  EXPECT_FALSE(stream.move_to(full));
  EXPECT_EQ(strangers.used(), used);
  EXPECT_TRUE(stream.move_to(attached));
  EXPECT_EQ(strangers.used(), 0u);
  EXPECT_EQ(attached.used(), used);
}

TEST(FrameStreamTest, RefusesABadHeaderBeforeItHoldsAnything) {
  FrameBudget budget(1'000'000);
  FrameStream stream(budget);
  char header[kHeaderBytes];
  write_header(header, FrameType::kHandshakeInit, 0, 0xffffffff);
  for (const size_t size : {kHeaderBytes, size_t{1}}) {
    header[0] = size == 1 ? 'G' : 1;
    stream.feed({header, size});
    const FrameStream::Next next = stream.next(ServerHandshake::expected());
    EXPECT_EQ(next.status, ParseStatus::kRefused);
    EXPECT_EQ(next.refusal.code, ErrorCode::kInvalidRequest);
    EXPECT_EQ(budget.used(), 0u);
  }
}

// A frame changes what may come behind it in the same read.
TEST(FrameStreamTest, AsksAnewWhatMayComeForEachFrame) {
  Pair pair;
  pair.connect();
  FrameBudget budget(1'000'000);
  FrameStream stream(budget);
  OutgoingBuffer out;
  ASSERT_EQ(pair.server.seal(FrameType::kRpcResponse, "attached", out), Sent::kOk);
  pair.server.attached();
  ASSERT_EQ(pair.server.seal(FrameType::kEvent, std::string(100'000, 'e'), out), Sent::kOk);
  std::string bytes = take(out);
  stream.feed({bytes.data(), bytes.size()});
  Incoming incoming;
  FrameStream::Next next = stream.next(pair.client.expected());
  ASSERT_EQ(next.status, ParseStatus::kFrame);
  ASSERT_FALSE(pair.client.open(next.frame, incoming));
  pair.client.attached();
  next = stream.next(pair.client.expected());
  ASSERT_EQ(next.status, ParseStatus::kFrame);
  ASSERT_FALSE(pair.client.open(next.frame, incoming));
  EXPECT_EQ(incoming.payload.size(), 100'000u);
}

}  // namespace
}  // namespace raymesh::raystream
