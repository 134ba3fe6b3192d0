// Runs a closure on a BlockingPool and continues in the actor that asked:
//
//   actor::run_blocking<Hash>(self, *pool, std::chrono::seconds(5), [pw] { return hash(pw); })
//       .then([](actor::Outcome<Hash>& h) { ... }, [](const caf::error&) { ... });
//
// Called by the actor itself. A full queue arrives as the outcome overloaded.
#pragma once

#include <utility>

#include "libs/actor/ask.hpp"
#include "libs/actor/blocking_pool.hpp"

namespace raymesh::actor {

/// `work` returns Result<T> or T.
template <class T, class F>
auto run_blocking(caf::event_based_actor* self, BlockingPool& pool,
                  std::chrono::milliseconds timeout, F work) {
  return ask<T>(self, timeout, [&](const Completion<T>& done) {
    Status accepted =
        pool.submit([done, work = std::move(work)]() mutable { done(Result<T>(work())); });
    if (!accepted.ok()) done(std::move(accepted).error());
  });
}

}  // namespace raymesh::actor
