#include "libs/net/io_threads.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>

namespace raymesh::net {
namespace {

TEST(IoThreadsTest, RunsTasksOnTheNamedThreadInOrder) {
  IoThreads threads(2, "test");
  ASSERT_EQ(threads.size(), 2u);
  std::promise<void> done;
  std::vector<int> seen;
  std::thread::id first;
  for (int i = 0; i < 1000; ++i)
    threads.post(1, [&, i] {
      if (i == 0) first = std::this_thread::get_id();
      EXPECT_EQ(std::this_thread::get_id(), first);
      seen.push_back(i);
      if (i == 999) done.set_value();
    });
  done.get_future().wait();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(seen[static_cast<size_t>(i)], i);
}

TEST(IoThreadsTest, TasksMayPostAndOwnWhatCannotBeCopied) {
  IoThreads threads(1, "test");
  std::promise<int> done;
  threads.post(0, [&, value = std::make_unique<int>(7)]() mutable {
    threads.post(0, [&, v = std::move(value)] { done.set_value(*v); });
  });
  EXPECT_EQ(done.get_future().get(), 7);
}

TEST(IoThreadsTest, LosesNoTaskOfManyProducers) {
  IoThreads threads(1, "test");
  std::atomic<int> ran{0};
  std::promise<void> done;
  std::vector<std::thread> producers;
  for (int p = 0; p < 4; ++p)
    producers.emplace_back([&] {
      for (int i = 0; i < 25'000; ++i)
        threads.post(0, [&] {
          if (++ran == 100'000) done.set_value();
        });
    });
  for (auto& p : producers) p.join();
  done.get_future().wait();
  EXPECT_EQ(ran, 100'000);
}

TEST(IoThreadsTest, DestroysUnrunTasksAfterStop) {
  IoThreads threads(1, "test");
  threads.stop();
  auto owned = std::make_shared<int>(1);
  threads.post(0, [owned] { FAIL(); });
  EXPECT_EQ(owned.use_count(), 1);
}

}  // namespace
}  // namespace raymesh::net
