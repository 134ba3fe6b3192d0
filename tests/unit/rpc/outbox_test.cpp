// What is sent when: small frames, chunks in turns, credit. And the other pure parts.
#include "libs/rpc/outbox.hpp"

#include <gtest/gtest.h>

#include "libs/rpc/backoff.hpp"
#include "libs/rpc/deadline_queue.hpp"
#include "libs/rpc/frames.hpp"
#include "libs/rpc/project_counts.hpp"
#include "raymesh/common/v1/calls.pb.h"

namespace raymesh::rpc {
namespace {

using Frames = std::vector<common::v1::ServerFrame>;

Frames take(Outbox& outbox, Transfer*& finished) {
  common::v1::ServerBatch batch;
  const std::string bytes = outbox.take(finished);
  EXPECT_LE(bytes.size(), frames::kMaxMessageBytes);
  EXPECT_TRUE(batch.ParseFromString(bytes));
  return Frames(batch.frames().begin(), batch.frames().end());
}

TEST(OutboxTest, SmallFramesKeepTheirOrder) {
  Outbox outbox;
  for (uint64_t id = 1; id <= 2'000; ++id) outbox.add_chunk(id, std::string(100, 'x'), false);
  uint64_t expected = 1;
  Transfer* finished = nullptr;
  while (!outbox.empty())
    for (const auto& frame : take(outbox, finished)) EXPECT_EQ(frame.id(), expected++);
  EXPECT_EQ(expected, 2'001u);
  EXPECT_EQ(outbox.waiting_bytes(), 0u);
}

TEST(OutboxTest, KnowsWhatWasSent) {
  Outbox outbox;
  const uint64_t first = outbox.add_chunk(1, "a", false);
  EXPECT_FALSE(outbox.sent(first));
  Transfer* finished = nullptr;
  take(outbox, finished);
  EXPECT_TRUE(outbox.sent(first));
  const uint64_t second = outbox.add_chunk(2, "b", false);
  EXPECT_FALSE(outbox.sent(second));
}

TEST(OutboxTest, ATransferAndSmallFramesShareEveryBatch) {
  Outbox outbox;
  Transfer large;
  large.id = 1;
  large.body.assign(1u << 20, 'l');
  large.credit = 1u << 20;
  outbox.start(large);
  for (uint64_t id = 2; id < 3'000; ++id) outbox.add_chunk(id, std::string(100, 's'), false);
  Transfer* finished = nullptr;
  bool small_left = true;
  while (small_left) {
    size_t large_chunks = 0;
    size_t small = 0;
    for (const auto& frame : take(outbox, finished)) ++(frame.id() == 1 ? large_chunks : small);
    EXPECT_EQ(large_chunks, 1u);
    small_left = outbox.waiting_bytes() > 0;
    if (small_left) {
      EXPECT_GT(small, 200u);
    }
  }
}

TEST(OutboxTest, TransfersTakeTurns) {
  Outbox outbox;
  Transfer transfers[3];
  for (uint64_t i = 0; i < 3; ++i) {
    transfers[i].id = i + 1;
    transfers[i].body.assign(3 * frames::kChunkBytes, 'x');
    transfers[i].credit = 1u << 20;
    outbox.start(transfers[i]);
  }
  std::string order;
  Transfer* finished = nullptr;
  while (!outbox.empty())
    for (const auto& frame : take(outbox, finished)) order += static_cast<char>('0' + frame.id());
  EXPECT_EQ(order, "123123123");
}

TEST(OutboxTest, StopsAtTheCreditAndGoesOnWithMore) {
  Outbox outbox;
  Transfer transfer;
  transfer.id = 1;
  transfer.body.assign(100'000, 'x');
  transfer.credit = 40'000;
  outbox.start(transfer);
  Transfer* finished = nullptr;
  size_t got = 0;
  const auto drain = [&] {
    while (!outbox.empty())
      for (const auto& frame : take(outbox, finished)) {
        got += frame.chunk().payload().size();
        EXPECT_EQ(frame.chunk().more(), got < 100'000);
      }
  };
  drain();
  EXPECT_EQ(got, 40'000u);
  EXPECT_EQ(finished, nullptr);
  outbox.grant(transfer, 10);
  drain();
  EXPECT_EQ(got, 40'010u);
  outbox.grant(transfer, 1u << 31);
  outbox.grant(transfer, 1u << 31);  // more than there is: no harm
  drain();
  EXPECT_EQ(got, 100'000u);
  EXPECT_EQ(finished, &transfer);
}

TEST(OutboxTest, ARequestsChunksComeAfterItsCallFrame) {
  Outbox outbox;
  for (uint64_t id = 1; id <= 2'000; ++id) outbox.add_chunk(id, std::string(100, 'x'), false);
  Transfer transfer;
  transfer.id = 2'001;
  transfer.after = outbox.add_chunk(2'001, "its call", true) + 1;
  transfer.body.assign(100'000, 'x');
  transfer.credit = 100'000;
  outbox.start(transfer);
  uint64_t last = 0;
  Transfer* finished = nullptr;
  while (!outbox.empty())
    for (const auto& frame : take(outbox, finished)) {
      EXPECT_GE(frame.id(), last);
      last = frame.id();
    }
  EXPECT_EQ(finished, &transfer);
}

TEST(OutboxTest, ADroppedTransferIsNotSent) {
  Outbox outbox;
  Transfer transfer;
  transfer.body.assign(100'000, 'x');
  transfer.credit = 100'000;
  outbox.start(transfer);
  outbox.drop(transfer);
  EXPECT_TRUE(outbox.empty());
}

TEST(DeadlineQueueTest, GivesThemInOrderAndForgetsTheDead) {
  DeadlineQueue queue;
  const auto now = Clock::now();
  const auto live = [](uint64_t key) { return key >= 9'990; };
  for (uint64_t i = 0; i < 10'000; ++i)
    queue.add(now + std::chrono::milliseconds(i % 97), i, 10, live);
  EXPECT_LT(queue.size(), 200u);
  EXPECT_FALSE(queue.pop(now - std::chrono::milliseconds(1)).has_value());
  size_t live_seen = 0;
  while (auto key = queue.pop(now + std::chrono::seconds(1))) live_seen += live(*key);
  EXPECT_EQ(live_seen, 10u);
}

TEST(DeadlineQueueTest, SetsOneTimerForEachDeadlineThatComesFirst) {
  DeadlineQueue queue;
  const auto now = Clock::now();
  const auto at = [&](int seconds) { return now + std::chrono::seconds(seconds); };
  const auto live = [](uint64_t) { return true; };
  EXPECT_FALSE(queue.timer_to_set().has_value());
  queue.add(at(100), 1, 1, live);
  EXPECT_EQ(queue.timer_to_set(), at(100));
  EXPECT_FALSE(queue.timer_to_set().has_value());
  // A hundred short ones while a long one is there: each has a timer, and the long one still has
  // one.
  for (int i = 1; i < 100; ++i) {
    queue.add(at(i), 2, 2, live);
    EXPECT_EQ(queue.timer_to_set(), at(i));
    queue.timer_came(at(i));
    EXPECT_EQ(queue.pop(at(i)), 2u);
    EXPECT_FALSE(queue.timer_to_set().has_value());
  }
  // Later ones wait for the first.
  queue.add(at(200), 3, 2, live);
  EXPECT_FALSE(queue.timer_to_set().has_value());
  queue.timer_came(at(100));
  EXPECT_EQ(queue.pop(at(100)), 1u);
  EXPECT_EQ(queue.timer_to_set(), at(200));
}

TEST(BackoffTest, GrowsToItsMostAndStartsAnew) {
  Backoff backoff;
  auto most = Backoff::kFirst;
  for (int i = 0; i < 12; ++i) {
    const auto pause = backoff.next();
    EXPECT_GE(pause, most / 2);
    EXPECT_LE(pause, most);
    most = std::min(most * 2, Backoff::kMost);
  }
  backoff.reset();
  EXPECT_LE(backoff.next(), Backoff::kFirst);
}

TEST(ProjectCountsTest, RefusesOneProjectAndNotAnother) {
  ProjectCounts counts(2);
  EXPECT_TRUE(counts.admit("a").ok());
  EXPECT_TRUE(counts.admit("a").ok());
  auto refused = counts.admit("a");
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(refused.error().is(errors::kOverloaded));
  EXPECT_GT(refused.error().retry_after.count(), 0);
  EXPECT_TRUE(counts.admit("b").ok());
  counts.release("a");
  EXPECT_TRUE(counts.admit("a").ok());
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(counts.admit("").ok());
}

}  // namespace
}  // namespace raymesh::rpc
