// One-shot timers of event-based actors, without a message type for each. Called by the actor
// itself, and `f` runs in it; nothing runs after the actor's end.
#pragma once

#include <caf/event_based_actor.hpp>
#include <caf/response_handle.hpp>
#include <chrono>
#include <utility>

#include "libs/actor/messages.hpp"

namespace raymesh::actor {

/// A request that nobody was asked: its timeout is the timer.
template <class F>
void after(caf::event_based_actor* self, std::chrono::milliseconds delay, F f) {
  auto id = self->new_request_id(caf::message_priority::normal);
  self->request_response_timeout(caf::duration(delay), id);
  caf::response_handle<caf::event_based_actor, caf::detail::type_list<Error>, false>(
      id.response_id(), self)
      .then([](const Error&) {}, [f = std::move(f)](const caf::error&) mutable { f(); });
}

}  // namespace raymesh::actor
