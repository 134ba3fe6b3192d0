#include "services/gateway/raystream_actor.hpp"

#include <caf/actor_cast.hpp>
#include <caf/actor_system.hpp>
#include <caf/exit_reason.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include "libs/actor/loop_unit.hpp"

namespace raymesh::gateway {
namespace {

struct Holder {
  static inline const char* name = "raystream_session";
  std::shared_ptr<RaystreamSession> session;
};
using Self = RaystreamActor::stateful_pointer<Holder>;

RaystreamActor::behavior_type behave(Self self, std::shared_ptr<RaystreamSession> owner) {
  self->state.session = std::move(owner);
  RaystreamSession* session = self->state.session.get();
  auto after = [self, session] {
    session->after_turn();
    if (session->ended()) self->quit();
  };
  return {
      [=](const Step& m) {
        if (!session->ended()) (*m.run)();
        after();
      },
      [=](const Lost& m) {
        session->lost_to(m.generation);
        after();
      },
      [=](const Drain&) {
        session->drain();
        after();
      },
      [=](const Abort&) {
        session->abort();
        after();
      },
      [=](const Thrown&) { self->quit(caf::exit_reason::unhandled_exception); },
  };
}

}  // namespace

caf::actor spawn_raystream_actor(caf::actor_system& system,
                                 std::shared_ptr<RaystreamSession> session) {
  auto handle = caf::actor_cast<caf::actor>(system.spawn<caf::lazy_init>(behave, session));
  handle->attach_functor(
      [weak = std::weak_ptr<RaystreamSession>(session)](const caf::error& reason) {
        if (!reason || reason == caf::exit_reason::user_shutdown) return;
        if (auto failed = weak.lock()) failed->failed();
      });
  return handle;
}

void release_raystream_actor(const caf::actor& actor) {
  if (actor)
    actor->enqueue(nullptr, caf::make_message_id(), caf::make_message(Abort{}),
                   actor::LoopUnit::current());
}

void send(RaystreamSession& session, caf::message message) {
  if (session.ended()) return;
  session.actor()->enqueue(nullptr, caf::make_message_id(), std::move(message),
                           actor::LoopUnit::current());
  session.worker().run_actors();
}

}  // namespace raymesh::gateway
