#include "libs/actor/supervisor.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <caf/actor_system.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <mutex>
#include <optional>
#include <semaphore>

#include "libs/actor/messages.hpp"
#include "libs/actor/system.hpp"

namespace raymesh::actor {
namespace {

struct Fail {};
struct Finish {};

}  // namespace
}  // namespace raymesh::actor

RAYMESH_ACTOR_MESSAGE(raymesh::actor::Fail)
RAYMESH_ACTOR_MESSAGE(raymesh::actor::Finish)

namespace raymesh::actor {
namespace {

using std::chrono::milliseconds;

/// What the actors tell the test.
struct Probe {
  std::counting_semaphore<> started{0};
  std::counting_semaphore<> escalated{0};
  std::counting_semaphore<> parent_down{0};
  std::atomic<int> starts{0};
  std::mutex mutex;
  caf::actor child;

  caf::actor current() {
    std::lock_guard lock(mutex);
    return child;
  }
};

caf::behavior child_behavior(caf::event_based_actor* self) {
  return {[self](const Fail&) { self->quit(caf::sec::runtime_error); },
          [self](const Finish&) { self->quit(); }};
}

struct ParentState {
  std::optional<Supervisor> supervisor;
};

class SupervisorTest : public testing::Test {
 protected:
  caf::actor spawn_parent(RestartPolicy policy, bool count_escalations) {
    auto* probe = &probe_;
    return system_.get().spawn([=](caf::stateful_actor<ParentState>* self) -> caf::behavior {
      Supervisor::Escalate escalate;
      if (count_escalations)
        escalate = [probe](const std::string&, const caf::error&) { probe->escalated.release(); };
      self->state.supervisor.emplace(self, policy, escalate);
      self->attach_functor([probe](const caf::error&) { probe->parent_down.release(); });
      self->state.supervisor->add("child", [self, probe] {
        caf::actor child = self->spawn(child_behavior);
        std::lock_guard lock(probe->mutex);
        probe->child = child;
        ++probe->starts;
        probe->started.release();
        return child;
      });
      return {[](const Finish&) {}};
    });
  }
  bool started() { return probe_.started.try_acquire_for(std::chrono::seconds(10)); }

  Probe probe_;
  System system_;
};

TEST_F(SupervisorTest, AFailedChildIsStartedAgain) {
  caf::actor parent = spawn_parent({.first_delay = milliseconds(1)}, true);
  ASSERT_TRUE(started());
  for (int i = 0; i < 3; ++i) {
    caf::anon_send(probe_.current(), Fail{});
    ASSERT_TRUE(started()) << i;
  }
  EXPECT_EQ(probe_.starts, 4);
  caf::anon_send_exit(parent, caf::exit_reason::user_shutdown);
}

TEST_F(SupervisorTest, AChildThatThrowsCountsAsFailed) {
  auto* probe = &probe_;
  caf::actor parent =
      system_.get().spawn([=](caf::stateful_actor<ParentState>* self) -> caf::behavior {
        self->state.supervisor.emplace(self, RestartPolicy{.first_delay = milliseconds(1)});
        self->state.supervisor->add("child", [self, probe] {
          probe->started.release();
          bool first = ++probe->starts == 1;
          caf::actor child = self->spawn([](caf::event_based_actor*) -> caf::behavior {
            return {[](const Fail&) { throw std::runtime_error("on purpose"); }};
          });
          if (first) caf::anon_send(child, Fail{});
          return child;
        });
        return {[](const Finish&) {}};
      });
  ASSERT_TRUE(started());
  EXPECT_TRUE(started());
  caf::anon_send_exit(parent, caf::exit_reason::user_shutdown);
}

TEST_F(SupervisorTest, RestartsWaitLongerEachTime) {
  caf::actor parent =
      spawn_parent({.first_delay = milliseconds(20), .max_delay = milliseconds(80)}, true);
  ASSERT_TRUE(started());
  for (milliseconds expected :
       {milliseconds(20), milliseconds(40), milliseconds(80), milliseconds(80)}) {
    auto begin = std::chrono::steady_clock::now();
    caf::anon_send(probe_.current(), Fail{});
    ASSERT_TRUE(started());
    EXPECT_GE(std::chrono::steady_clock::now() - begin, expected);
  }
  caf::anon_send_exit(parent, caf::exit_reason::user_shutdown);
}

TEST_F(SupervisorTest, AChildThatIsDoneStaysDown) {
  caf::actor parent = spawn_parent({.first_delay = milliseconds(1)}, true);
  ASSERT_TRUE(started());
  caf::anon_send(probe_.current(), Finish{});
  EXPECT_FALSE(probe_.started.try_acquire_for(milliseconds(100)));
  caf::anon_send_exit(parent, caf::exit_reason::user_shutdown);
}

TEST_F(SupervisorTest, TooManyFailuresEscalateInsteadOfRestarting) {
  caf::actor parent = spawn_parent({.first_delay = milliseconds(1), .max_restarts = 2}, true);
  ASSERT_TRUE(started());
  for (int i = 0; i < 2; ++i) {
    caf::anon_send(probe_.current(), Fail{});
    ASSERT_TRUE(started());
  }
  caf::anon_send(probe_.current(), Fail{});
  EXPECT_TRUE(probe_.escalated.try_acquire_for(std::chrono::seconds(10)));
  EXPECT_EQ(probe_.starts, 3);
  caf::anon_send_exit(parent, caf::exit_reason::user_shutdown);
}

TEST_F(SupervisorTest, ByDefaultEscalationEndsTheParent) {
  caf::actor parent = spawn_parent({.first_delay = milliseconds(1), .max_restarts = 0}, false);
  ASSERT_TRUE(started());
  caf::anon_send(probe_.current(), Fail{});
  EXPECT_TRUE(probe_.parent_down.try_acquire_for(std::chrono::seconds(10)));
}

TEST_F(SupervisorTest, FailuresOutsideTheWindowAreForgotten) {
  caf::actor parent = spawn_parent(
      {.first_delay = milliseconds(1), .max_restarts = 1, .window = milliseconds(0)}, true);
  ASSERT_TRUE(started());
  for (int i = 0; i < 5; ++i) {
    caf::anon_send(probe_.current(), Fail{});
    ASSERT_TRUE(started()) << i;
  }
  caf::anon_send_exit(parent, caf::exit_reason::user_shutdown);
}

TEST_F(SupervisorTest, ChildrenEndWithTheirParent) {
  caf::actor parent = spawn_parent({}, true);
  ASSERT_TRUE(started());
  std::binary_semaphore down(0);
  probe_.current()->attach_functor([&](const caf::error&) { down.release(); });
  caf::anon_send_exit(parent, caf::exit_reason::user_shutdown);
  EXPECT_TRUE(down.try_acquire_for(std::chrono::seconds(10)));
}

}  // namespace
}  // namespace raymesh::actor
