#include "libs/actor/ask.hpp"

#include <gtest/gtest.h>

#include <caf/actor_system.hpp>
#include <future>
#include <thread>

#include "libs/actor/run_blocking.hpp"
#include "libs/actor/system.hpp"
#include "libs/actor/timer.hpp"

namespace raymesh::actor {
namespace {

using std::chrono::milliseconds;

/// Runs `body` in a fresh actor and returns what it promised.
template <class T, class F>
T in_actor(caf::actor_system& system, F body) {
  auto promise = std::make_shared<std::promise<T>>();
  auto result = promise->get_future();
  system.spawn([promise, body](caf::event_based_actor* self) { body(self, promise); });
  if (result.wait_for(std::chrono::seconds(10)) != std::future_status::ready)
    throw std::runtime_error("the actor never answered");
  return result.get();
}

template <class T>
using Promise = std::shared_ptr<std::promise<T>>;

TEST(AskTest, AnAnswerFromAnotherThreadArrivesInTheActor) {
  System system;
  std::thread other;
  int answer =
      in_actor<int>(system.get(), [&](caf::event_based_actor* self, const Promise<int>& promise) {
        ask<int>(self, milliseconds(5000),
                 [&](const Completion<int>& done) { other = std::thread([done] { done(42); }); })
            .then([promise](Outcome<int>& r) { promise->set_value(r->value()); },
                  [promise](const caf::error&) { promise->set_value(-1); });
      });
  other.join();
  EXPECT_EQ(answer, 42);
}

TEST(AskTest, AnErrorArrivesAsAnOutcome) {
  System system;
  auto code = in_actor<std::string>(system.get(), [](caf::event_based_actor* self,
                                                     const Promise<std::string>& promise) {
    ask<int>(self, milliseconds(5000),
             [](const Completion<int>& done) { done(Error(errors::kNotFound, "no such thing")); })
        .then([promise](Outcome<int>& r) { promise->set_value(std::string(r->error().code())); },
              [promise](const caf::error&) { promise->set_value("timeout"); });
  });
  EXPECT_EQ(code, "not_found");
}

TEST(AskTest, SilenceIsADeadlineExceededAndALateAnswerIsDropped) {
  System system;
  auto late = std::make_shared<std::optional<Completion<int>>>();
  auto code = in_actor<std::string>(
      system.get(), [late](caf::event_based_actor* self, const Promise<std::string>& promise) {
        ask<int>(self, milliseconds(20), [&](const Completion<int>& done) { *late = done; })
            .then([promise](Outcome<int>&) { promise->set_value("answered"); },
                  [promise](const caf::error& e) {
                    promise->set_value(std::string(to_error(e).code()));
                  });
      });
  EXPECT_EQ(code, "deadline_exceeded");
  (**late)(1);
  late->reset();
}

TEST(AskTest, TimersRunInTheActorAfterTheirDelay) {
  System system;
  auto begin = std::chrono::steady_clock::now();
  in_actor<int>(system.get(), [](caf::event_based_actor* self, const Promise<int>& promise) {
    after(self, milliseconds(30), [promise] { promise->set_value(1); });
  });
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(30));
}

TEST(AskTest, BlockingWorkAnswersItsActor) {
  System system;
  BlockingPool pool(system.get(), "test", 1, 10);
  int answer = in_actor<int>(
      system.get(), [&pool](caf::event_based_actor* self, const Promise<int>& promise) {
        run_blocking<int>(self, pool, milliseconds(5000), [] { return 7; })
            .then([promise](Outcome<int>& r) { promise->set_value(r->value()); },
                  [promise](const caf::error&) { promise->set_value(-1); });
      });
  EXPECT_EQ(answer, 7);
}

}  // namespace
}  // namespace raymesh::actor
