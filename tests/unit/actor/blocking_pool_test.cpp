#include "libs/actor/blocking_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <caf/actor_system.hpp>
#include <latch>
#include <semaphore>
#include <set>
#include <thread>

#include "libs/actor/system.hpp"

namespace raymesh::actor {
namespace {

using std::chrono::milliseconds;

/// Holds pool threads until it is opened.
class Gate {
 public:
  void wait() { open_.wait(false); }
  void open() {
    open_ = true;
    open_.notify_all();
  }

 private:
  std::atomic<bool> open_{false};
};

class BlockingPoolTest : public testing::Test {
 protected:
  System system_;
};

TEST_F(BlockingPoolTest, RunsWorkOnAsManyThreadsAsItHas) {
  BlockingPool pool(system_.get(), "test", 3, 10);
  std::latch together(3);  // opens only when three run at once
  std::latch done(3);
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(pool.submit([&] {
                      together.arrive_and_wait();
                      done.count_down();
                    })
                    .ok());
  done.wait();
}

TEST_F(BlockingPoolTest, AFullQueueIsOverloadedAndTakesWorkAgainLater) {
  BlockingPool pool(system_.get(), "hashing", 2, 3);
  Gate gate;
  std::counting_semaphore<> finished(0);
  auto work = [&] {
    gate.wait();
    finished.release();
  };
  for (int i = 0; i < 2 + 3; ++i) ASSERT_TRUE(pool.submit(work).ok()) << i;
  Status refused = pool.submit(work);
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(refused.error().is(errors::kOverloaded));
  EXPECT_NE(refused.error().message.find("hashing"), std::string::npos);
  gate.open();
  for (int i = 0; i < 2 + 3; ++i) finished.acquire();
  // A task counts until it has been destroyed, which is a moment after its last statement.
  while (!pool.submit(work).ok()) std::this_thread::yield();
  finished.acquire();
}

TEST_F(BlockingPoolTest, WorkThatThrowsDoesNotEndItsThread) {
  BlockingPool pool(system_.get(), "test", 1, 10);
  std::latch done(1);
  ASSERT_TRUE(pool.submit([] { throw std::runtime_error("on purpose"); }).ok());
  ASSERT_TRUE(pool.submit([&] { done.count_down(); }).ok());
  done.wait();
}

TEST_F(BlockingPoolTest, StopFinishesWhatWasAcceptedAndRefusesTheRest) {
  BlockingPool pool(system_.get(), "test", 1, 100);
  std::atomic<int> ran{0};
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(pool.submit([&] { ++ran; }).ok());
  pool.stop(std::chrono::seconds(10));
  EXPECT_EQ(ran, 50);
  Status refused = pool.submit([] {});
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(refused.error().is(errors::kUnavailable));
}

TEST_F(BlockingPoolTest, WorkThatCannotBeginInTimeIsDestroyedUnrun) {
  Gate gate;
  auto token = std::make_shared<int>(0);
  std::atomic<bool> ran{false};
  std::latch started(1);
  {
    BlockingPool pool(system_.get(), "test", 1, 100);
    ASSERT_TRUE(pool.submit([&] {
                      started.count_down();
                      gate.wait();
                    })
                    .ok());
    started.wait();
    ASSERT_TRUE(pool.submit([&ran, token] { ran = true; }).ok());
    pool.stop(milliseconds(1));
    EXPECT_EQ(token.use_count(), 1);
    gate.open();
  }
  EXPECT_FALSE(ran);
}

TEST_F(BlockingPoolTest, ManySubmittersLoseNothing) {
  std::atomic<int> ran{0};
  {
    BlockingPool pool(system_.get(), "test", 3, 100'000);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 5'000; ++i) EXPECT_TRUE(pool.submit([&] { ++ran; }).ok());
      });
    for (std::thread& t : threads) t.join();
    pool.stop(std::chrono::seconds(30));
  }
  EXPECT_EQ(ran, 20'000);
}

}  // namespace
}  // namespace raymesh::actor
