// Conventions for actor messages; every *_actor.hpp includes this header. No state.
//
// A message is a plain struct, named with a bare noun or an imperative (`Subscribe`, `Subscribed`),
// in the namespace of its actor, and is declared to CAF right after it:
//
//   namespace raymesh::realtime { struct Subscribe { std::string channel; ConnId conn; }; }
//   RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Subscribe)
//
// Messages never leave the process (between processes it is gRPC), so they have no serialization
// and no type id: CAF_ALLOW_UNSAFE_MESSAGE_TYPE is just what that means. Rules that follow from
// CAF 0.17.6:
//  - A message is copied when it is shared and more than one receiver asks for a mutable reference:
//    take `const T&`, and put large payloads behind std::shared_ptr<const T>. Message types must be
//    copyable; a UniqueFunction goes in a shared_ptr.
//  - A handler never throws and never blocks: a throw kills the actor and answers runtime_error.
//    Blocking work goes to BlockingPool, callback APIs come in through `ask`.
//  - Every request has a finite timeout; a promise is fulfilled on every path (a dropped one leaves
//    the asker waiting for its timeout) and only by its own actor.
//  - Mailboxes have no bound: whoever sends from outside bounds what is on its way.
//  - Two actors that hold each other strongly are never destroyed: children hold their parent by
//    caf::actor_addr or not at all, and a supervisor quits its children explicitly.
//  - A failed operation answers with Error, as in Result<T>, never with caf::error; timeouts and
//    dead actors, which CAF reports as caf::error, become an Error in to_error.
#pragma once

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/error.hpp>

#include "libs/base/result.hpp"

#define RAYMESH_ACTOR_MESSAGE(type) CAF_ALLOW_UNSAFE_MESSAGE_TYPE(type)

RAYMESH_ACTOR_MESSAGE(raymesh::Error)

namespace raymesh::actor {

/// What the edges answer when CAF itself failed a request: deadline_exceeded for a timeout,
/// unavailable for a receiver that is gone, internal for the rest.
Error to_error(const caf::error& error);

}  // namespace raymesh::actor
