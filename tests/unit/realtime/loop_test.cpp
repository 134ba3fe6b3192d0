// What connections rely on, on both loops that there are: an I/O thread's and a shard's.
#include "libs/net/loop.hpp"

#include <sys/socket.h>

#include <array>
#include <future>

#include "libs/net/io_threads.hpp"
#include "libs/net/unique_fd.hpp"
#include "tests/unit/realtime/node_fixture.hpp"

namespace raymesh::realtime {
namespace {

using namespace std::chrono_literals;
using net::Loop;
using Clock = Loop::Clock;

enum class Kind { kIoThread, kShard };

class LoopTest : public NodeFixture, public ::testing::WithParamInterface<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::kShard) {
      start();
      loop_ = node_->loops()[1];
    } else {
      threads_ = std::make_unique<net::IoThreads>(1, "test");
      loop_ = &threads_->loop(0);
    }
  }

  /// Runs `f` on the loop's thread and waits for it.
  template <class F>
  void run(F f) {
    std::promise<void> done;
    loop_->post([&] {
      f();
      done.set_value();
    });
    done.get_future().wait();
  }

  std::unique_ptr<net::IoThreads> threads_;
  Loop* loop_ = nullptr;
};

/// A descriptor of a pair, watched; counts what it hears.
struct Ear final : Loop::Listener {
  Ear() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    mine.reset(ends[0]);
    theirs.reset(ends[1]);
  }
  void on_ready(Loop::Ready what) override {
    ++heard[static_cast<size_t>(what)];
    if (then) then();
  }
  size_t reads() const { return heard[static_cast<size_t>(Loop::Ready::kRead)]; }
  size_t writes() const { return heard[static_cast<size_t>(Loop::Ready::kWrite)]; }
  void send() const { EXPECT_EQ(::send(theirs.get(), "x", 1, 0), 1); }
  void receive() const {
    char byte;
    EXPECT_EQ(::recv(mine.get(), &byte, 1, 0), 1);
  }

  net::UniqueFd mine, theirs;
  std::array<std::atomic<size_t>, 2> heard{};
  std::function<void()> then;
  std::unique_ptr<Loop::Watch> watch;
};

TEST_P(LoopTest, TellsOfEachReadThatIsAwaitedOnce) {
  auto ear = std::make_shared<Ear>();
  run([&] {
    ear->watch = loop_->watch(ear->mine.get(), ear);
    ear->watch->await(Loop::Ready::kRead);
    ear->watch->await(Loop::Ready::kRead);
  });
  ear->send();
  eventually([&] { return ear->reads() == 1; });
  // Not awaited: the loop goes round, and nothing is heard of the byte that is still there.
  ear->send();
  for (int i = 0; i < 100; ++i) run([] {});
  EXPECT_EQ(ear->reads(), 1u);
  run([&] {
    ear->receive();
    ear->watch->await(Loop::Ready::kRead);
  });
  eventually([&] { return ear->reads() == 2; });
  // And when it awaits all the time.
  run([&] {
    ear->receive();
    ear->then = [&] {
      ear->receive();
      ear->watch->await(Loop::Ready::kRead);
    };
    ear->watch->await(Loop::Ready::kRead);
  });
  for (size_t n = 3; n < 50; ++n) {
    ear->send();
    eventually([&] { return ear->reads() == n; });
  }
  EXPECT_EQ(ear->writes(), 0u);
  run([&] { ear->watch.reset(); });
}

TEST_P(LoopTest, TellsThatTheSocketTakesBytesAgain) {
  auto ear = std::make_shared<Ear>();
  run([&] {
    ear->watch = loop_->watch(ear->mine.get(), ear);
    ear->watch->await(Loop::Ready::kWrite);
  });
  eventually([&] { return ear->writes() == 1; });
  const std::string block(64 << 10, 'x');
  run([&] {
    while (::send(ear->mine.get(), block.data(), block.size(), 0) > 0) {
    }
    ear->watch->await(Loop::Ready::kWrite);
    ear->watch->await(Loop::Ready::kRead);
  });
  for (int i = 0; i < 100; ++i) run([] {});
  EXPECT_EQ(ear->writes(), 1u);
  std::string sink(1 << 20, ' ');
  while (::recv(ear->theirs.get(), sink.data(), sink.size(), 0) > 0) {
  }
  eventually([&] { return ear->writes() == 2; });
  EXPECT_EQ(ear->reads(), 0u);
  run([&] { ear->watch.reset(); });
}

TEST_P(LoopTest, TellsThatTheOtherSideHasGone) {
  auto ear = std::make_shared<Ear>();
  run([&] {
    ear->watch = loop_->watch(ear->mine.get(), ear);
    ear->watch->await(Loop::Ready::kRead);
  });
  ear->theirs.reset();
  eventually([&] { return ear->reads() == 1; });
  // Whoever asks only now hears it, too.
  run([&] { ear->watch->await(Loop::Ready::kRead); });
  eventually([&] { return ear->reads() == 2; });
  run([&] { ear->watch.reset(); });
}

TEST_P(LoopTest, AWatchMayEndWhileItIsHeard) {
  auto ear = std::make_shared<Ear>();
  auto other = std::make_shared<Ear>();
  ear->then = [&] {
    ear->watch.reset();
    other->watch = loop_->watch(other->mine.get(), other);
    other->watch->await(Loop::Ready::kRead);
  };
  run([&] {
    ear->watch = loop_->watch(ear->mine.get(), ear);
    ear->watch->await(Loop::Ready::kRead);
    ear->watch->await(Loop::Ready::kWrite);
    ear->send();
  });
  eventually([&] { return ear->reads() + ear->writes() > 0; });
  other->send();
  eventually([&] { return other->reads() == 1; });
  EXPECT_EQ(ear->reads() + ear->writes(), 1u);
  run([&] { other->watch.reset(); });
}

TEST_P(LoopTest, TellsNobodyWhoHasGone) {
  auto ear = std::make_shared<Ear>();
  auto watched = std::move(ear->mine);
  auto sender = std::move(ear->theirs);
  std::unique_ptr<Loop::Watch> watch;
  run([&] {
    watch = loop_->watch(watched.get(), ear);
    watch->await(Loop::Ready::kRead);
  });
  ear.reset();
  EXPECT_EQ(::send(sender.get(), "x", 1, 0), 1);
  for (int i = 0; i < 100; ++i) run([] {});
  run([&] { watch.reset(); });
}

TEST_P(LoopTest, RunsTimersInTheirOrder) {
  std::promise<void> done;
  std::vector<int> order;
  std::vector<std::unique_ptr<Loop::Timer>> timers;
  run([&] {
    const auto now = Clock::now();
    for (int i = 0; i < 4; ++i) timers.push_back(loop_->timer());
    timers[0]->set(now + 30ms, [&] {
      order.push_back(0);
      done.set_value();
    });
    timers[1]->set(now + 20ms, [&] { order.push_back(1); });
    timers[2]->set(now + 1h, [&] { order.push_back(2); });
    timers[2]->set(now + 10ms, [&] { order.push_back(20); });  // instead
    timers[3]->set(now + 15ms, [&] { order.push_back(3); });
    timers[3].reset();  // called off
  });
  done.get_future().wait();
  EXPECT_EQ(order, (std::vector<int>{20, 1, 0}));
  run([&] { timers.clear(); });
}

TEST_P(LoopTest, ATimerMayBeSetAgainAndEndedByItsTask) {
  std::promise<void> done;
  std::unique_ptr<Loop::Timer> timer;
  int runs = 0;
  std::function<void()> again = [&] {
    if (++runs < 3) return timer->set(Clock::now(), again);
    timer.reset();
    done.set_value();
  };
  run([&] {
    timer = loop_->timer();
    timer->set(Clock::now() + 1ms, again);
  });
  done.get_future().wait();
  EXPECT_EQ(runs, 3);
}

TEST_P(LoopTest, RunsTasksOnItsThreadInOrder) {
  std::promise<void> done;
  std::vector<int> seen;
  std::thread::id thread;
  run([&] { thread = std::this_thread::get_id(); });
  for (int i = 0; i < 1'000; ++i)
    loop_->post([&, i] {
      EXPECT_EQ(std::this_thread::get_id(), thread);
      seen.push_back(i);
      if (i == 999) done.set_value();
    });
  done.get_future().wait();
  for (int i = 0; i < 1'000; ++i) EXPECT_EQ(seen[static_cast<size_t>(i)], i);
}

INSTANTIATE_TEST_SUITE_P(Loops, LoopTest, ::testing::Values(Kind::kIoThread, Kind::kShard),
                         [](const auto& kind) {
                           return kind.param == Kind::kShard ? "Shard" : "IoThread";
                         });

}  // namespace
}  // namespace raymesh::realtime
