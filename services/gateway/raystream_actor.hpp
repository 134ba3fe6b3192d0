// The actor of one raystream session: owns it, runs its steps one by one and ends with it. Its
// rules are in libs/raystream and in RaystreamSession. It runs on its connection's I/O thread and
// nowhere else, because it is sent to from there alone, with that thread's execution unit: what a
// socket or a service brings costs no change of threads. And no message either: the thread that the
// actor lives on takes the step itself, as a turn of the actor (ADR 47); only what comes while an
// actor of this thread is in a turn waits in a mailbox. Supervised by the worker: one that dies of
// an error takes its connection with it, and is counted; the client shakes hands anew. Its mailbox
// is bounded by what it waits for: the session's open calls and its questions to services.
#pragma once

#include <caf/fwd.hpp>
#include <caf/make_message.hpp>
#include <caf/typed_actor.hpp>
#include <cstdint>
#include <memory>
#include <utility>

#include "libs/actor/messages.hpp"
#include "libs/base/unique_function.hpp"
#include "services/gateway/core.hpp"
#include "services/gateway/raystream_session.hpp"

namespace raymesh::gateway {

/// A turn that has to wait for the end of another one.
struct Step {
  std::shared_ptr<UniqueFunction<void()>> run;
};
/// Another connection has the session, under this generation.
struct Lost {
  uint64_t generation;
};
/// The gateway stops: no new calls, and the end after the open ones.
struct Drain {};
/// The end, now.
struct Abort {};
/// A turn has thrown.
struct Thrown {};

using RaystreamActor =
    caf::typed_actor<caf::reacts_to<Step>, caf::reacts_to<Lost>, caf::reacts_to<Drain>,
                     caf::reacts_to<Abort>, caf::reacts_to<Thrown>>;

/// Starts it; it runs when its first message comes.
caf::actor spawn_raystream_actor(caf::actor_system& system,
                                 std::shared_ptr<RaystreamSession> session);

/// The session has ended: its actor does, too.
void release_raystream_actor(const caf::actor& actor);

/// Sends to the session's actor and lets it run. On the session's I/O thread.
void send(RaystreamSession& session, caf::message message);
template <class Message>
void tell(RaystreamSession& session, Message message) {
  send(session, caf::make_message(std::move(message)));
}

/// Runs `step` as a turn of the session's actor, at once unless an actor of this thread is in a
/// turn, and afterwards sends what it has written. On the session's I/O thread. An exception ends
/// the actor.
template <class Session, class F>
void take_turn(const std::shared_ptr<Session>& session, F step) {
  if (session->ended()) return;
  Worker& worker = session->worker();
  if (worker.in_turn()) {
    auto run = std::make_shared<UniqueFunction<void()>>(std::move(step));
    return tell(*session, Step{std::move(run)});
  }
  const Worker::Turn turn(worker);
  try {
    step();
    session->after_turn();
  } catch (...) {
    tell(*session, Thrown{});
  }
}

}  // namespace raymesh::gateway

RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Step)
RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Lost)
RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Drain)
RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Abort)
RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Thrown)
