#include "libs/telemetry/cells.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "libs/telemetry/metrics.hpp"

namespace raymesh::metrics {
namespace {

void run_threads(size_t count, const std::function<void(size_t)>& body) {
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (size_t t = 0; t < count; ++t) threads.emplace_back(body, t);
  for (std::thread& t : threads) t.join();
}

TEST(CellsTest, NeighboursCountApart) {
  Cells cells(3);
  cells.add(0, 1);
  cells.add(2, 5);
  cells.add_real(1, 0.5);
  cells.add_real(1, 0.25);
  EXPECT_EQ(cells.sum(0), 1u);
  EXPECT_EQ(cells.sum_real(1), 0.75);
  EXPECT_EQ(cells.sum(2), 5u);
}

TEST(CellsTest, WhatEndedThreadsHaveCountedStays) {
  Cells cells(2);
  // One after the other: each goes on with the cells of the one before.
  for (size_t i = 0; i < 3 * Cells::kMaxThreads; ++i)
    run_threads(1, [&](size_t) {
      cells.add(0, 1);
      cells.add_real(1, 0.5);
      cells.add(0, 2);
    });
  EXPECT_EQ(cells.sum(0), 3u * 3 * Cells::kMaxThreads);
  EXPECT_EQ(cells.sum_real(1), 0.5 * 3 * Cells::kMaxThreads);
}

TEST(CellsTest, ThreadsBeyondTheBoundCountToo) {
  constexpr size_t kThreads = Cells::kMaxThreads + 16;
  constexpr uint64_t kRounds = 2'000;
  Cells cells(2);
  for (int round = 1; round <= 2; ++round) {
    std::barrier all_live(kThreads);
    run_threads(kThreads, [&](size_t) {
      cells.add(0, 1);
      all_live.arrive_and_wait();
      for (uint64_t i = 1; i < kRounds; ++i) cells.add(0, 1);
      for (uint64_t i = 0; i < kRounds; ++i) cells.add_real(1, 2);
      all_live.arrive_and_wait();
    });
    EXPECT_EQ(cells.sum(0), round * kThreads * kRounds);
    EXPECT_EQ(cells.sum_real(1), 2.0 * static_cast<double>(round * kThreads * kRounds));
  }
}

TEST(CellsTest, AReaderSeesItGrowOnly) {
  constexpr uint64_t kRounds = 200'000;
  Cells cells(1);
  std::atomic<int> running{2};
  std::thread reader([&] {
    uint64_t last = 0;
    while (running.load() > 0) {
      const uint64_t now = cells.sum(0);
      ASSERT_GE(now, last);
      last = now;
    }
  });
  run_threads(2, [&](size_t) {
    for (uint64_t i = 0; i < kRounds; ++i) cells.add(0, 1);
    --running;
  });
  reader.join();
  EXPECT_EQ(cells.sum(0), 2 * kRounds);
}

TEST(CellsTest, AGaugeThatOneThreadRaisesAndAnotherLowersIsNeverSeenBelowZero) {
  constexpr int kRounds = 100'000;
  Gauge gauge;
  std::atomic<int> raised{0};
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done.load()) ASSERT_GE(gauge.value(), 0);
  });
  run_threads(2, [&](size_t t) {
    if (t == 0) {
      for (int i = 0; i < kRounds; ++i) {
        gauge.add(1);
        raised.store(i + 1);
      }
    } else {
      for (int i = 0; i < kRounds; ++i) {
        while (raised.load() <= i) std::this_thread::yield();
        gauge.add(-1);
      }
    }
  });
  done = true;
  reader.join();
  EXPECT_EQ(gauge.value(), 0);
}

TEST(CellsTest, PlacesThatAreTakenOverBeginAtZero) {
  std::barrier step(2);
  std::unique_ptr<Cells> cells = std::make_unique<Cells>(7);
  std::thread other([&] {
    cells->add(6, 5);
    step.arrive_and_wait();
    step.arrive_and_wait();
    cells->add(6, 1);
  });
  cells->add(6, 3);
  step.arrive_and_wait();
  EXPECT_EQ(cells->sum(6), 8u);
  cells = nullptr;
  cells = std::make_unique<Cells>(7);
  EXPECT_EQ(cells->sum(6), 0u);
  step.arrive_and_wait();
  other.join();
  EXPECT_EQ(cells->sum(6), 1u);
}

// Adds when its thread ends, after the thread's cells have been given back.
struct LastWord {
  Cells* cells = nullptr;
  ~LastWord() {
    if (!cells) return;
    cells->add(0, 10);
    cells->add_real(1, 0.5);
  }
};
thread_local LastWord last_word;

TEST(CellsTest, AThreadMayAddWhileItEnds) {
  Cells cells(2);
  run_threads(1, [&](size_t) {
    last_word.cells = &cells;  // made before the thread's first addition: destroyed after its cells
    cells.add(0, 1);
  });
  EXPECT_EQ(cells.sum(0), 11u);
  EXPECT_EQ(cells.sum_real(1), 0.5);
}

TEST(CellsTest, RunsForWhichThereIsNoPlaceCountAllTheSame) {
  std::vector<std::unique_ptr<Cells>> runs;
  for (int i = 0; i < 300; ++i) runs.push_back(std::make_unique<Cells>(Cells::kMaxRun));
  run_threads(4, [&](size_t) {
    for (const auto& run : runs)
      for (int i = 0; i < 100; ++i) {
        run->add(Cells::kMaxRun - 1, 1);
        run->add_real(0, 0.5);
      }
  });
  for (const auto& run : runs) {
    ASSERT_EQ(run->sum(Cells::kMaxRun - 1), 400u);
    ASSERT_EQ(run->sum_real(0), 200);
  }
}

}  // namespace
}  // namespace raymesh::metrics
