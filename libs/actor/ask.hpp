// Calls an API that answers by callback, from an event-based actor, and continues in the actor:
//
//   actor::ask<Reply>(self, std::chrono::seconds(5), [&](actor::Completion<Reply> done) {
//     client.call(request, [done](Result<Reply> r) { done(std::move(r)); });  // any thread
//   }).then([self](actor::Outcome<Reply>& r) { ... },  // in the actor
//           [self](const caf::error& e) { ... });      // timeout
//
// The handle is the one that self->request() returns (CAF's request_response_timeout and
// response_handle), so .then() and .await() work as usual. Called by the actor itself; Completion
// may be called from any thread, at most once. A completion after the timeout or after the actor's
// end is dropped.
#pragma once

#include <caf/actor_cast.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/message.hpp>
#include <caf/response_handle.hpp>
#include <chrono>
#include <memory>
#include <utility>

#include "libs/actor/messages.hpp"
#include "libs/base/result.hpp"

namespace raymesh::actor {

/// Carries a Result through a CAF message, which wants copyable types.
template <class T>
using Outcome = std::shared_ptr<Result<T>>;

template <class T>
class Completion {
 public:
  Completion(caf::strong_actor_ptr self, caf::message_id id) : self_(std::move(self)), id_(id) {}

  void operator()(Result<T> result) const {
    self_->enqueue(nullptr, id_, caf::make_message(std::make_shared<Result<T>>(std::move(result))),
                   nullptr);
  }

 private:
  caf::strong_actor_ptr self_;
  caf::message_id id_;
};

/// `start` runs at once, in the caller, with a Completion<T>. The continuation takes Outcome<T>&.
template <class T, class Start>
auto ask(caf::event_based_actor* self, std::chrono::milliseconds timeout, Start start) {
  auto id = self->new_request_id(caf::message_priority::normal);
  self->request_response_timeout(caf::duration(timeout), id);
  start(Completion<T>(caf::actor_cast<caf::strong_actor_ptr>(self), id.response_id()));
  return caf::response_handle<caf::event_based_actor, caf::detail::type_list<Outcome<T>>, false>{
      id.response_id(), self};
}

}  // namespace raymesh::actor

namespace caf {
template <class T>
struct allowed_unsafe_message_type<std::shared_ptr<raymesh::Result<T>>> : std::true_type {};
}  // namespace caf
