// The actor of one raystream session: runs the session's steps one by one and ends with it. Its
// rules are in libs/raystream and in RaystreamSession. It runs on its connection's I/O thread and
// nowhere else, because it is sent to from there alone, with that thread's execution unit: what a
// socket or a service brings costs no change of threads. Supervised by the worker: one that dies of
// an error takes its connection with it, and is counted; the client shakes hands anew. Its mailbox
// is bounded by what it waits for: one readiness each way, one timer, the session's open calls.
#pragma once

#include <caf/fwd.hpp>
#include <caf/make_message.hpp>
#include <caf/typed_actor.hpp>
#include <cstdint>
#include <memory>

#include "libs/actor/messages.hpp"
#include "libs/base/unique_function.hpp"

namespace raymesh::gateway {

class RaystreamCall;
class RaystreamSession;

struct Begin {};
/// There is something to read, or the stream has ended.
struct Readable {};
struct Writable {};
/// The session's timer.
struct Due {};
/// A service's result is in the call.
struct Answered {
  std::shared_ptr<RaystreamCall> call;
};
/// What a call waited for before it could be made has come.
struct Resumed {
  std::shared_ptr<RaystreamCall> call;
};
/// Something else that the session has waited for.
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

using RaystreamActor =
    caf::typed_actor<caf::reacts_to<Begin>, caf::reacts_to<Readable>, caf::reacts_to<Writable>,
                     caf::reacts_to<Due>, caf::reacts_to<Answered>, caf::reacts_to<Resumed>,
                     caf::reacts_to<Step>, caf::reacts_to<Lost>, caf::reacts_to<Drain>,
                     caf::reacts_to<Abort>>;

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

}  // namespace raymesh::gateway

RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Begin)
RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Readable)
RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Writable)
RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Due)
RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Answered)
RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Resumed)
RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Step)
RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Lost)
RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Drain)
RAYMESH_ACTOR_MESSAGE(raymesh::gateway::Abort)
