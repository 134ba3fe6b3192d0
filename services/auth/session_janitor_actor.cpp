#include "services/auth/session_janitor_actor.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>

#include "libs/actor/ask.hpp"
#include "libs/actor/timer.hpp"
#include "libs/telemetry/log.hpp"
#include "services/auth/database.hpp"
#include "services/auth/probe.hpp"
#include "services/auth/user_store.hpp"

namespace raymesh::auth {
namespace {

constexpr std::chrono::minutes kPause{10};
constexpr std::chrono::seconds kTimeout{30};
// One statement's worth: short enough not to hold up a login.
constexpr size_t kBatch = 1'000;

void sweep(caf::event_based_actor* self, Database* database, Probe* probe) {
  auto later = [=](std::chrono::milliseconds delay) {
    actor::after(self, delay, [=] { sweep(self, database, probe); });
  };
  actor::ask<size_t>(
      self, kTimeout,
      [&](const actor::Completion<size_t>& done) {
        database->run<size_t>(
            [](pg::Session& session) { return delete_expired_sessions(session, kBatch); }, done);
      })
      .then(
          [=](actor::Outcome<size_t>& removed) {
            if (!removed->ok())
              log::warn("expired sessions could not be deleted",
                        {{"error", removed->error().message}});
            else
              probe->sessions_removed(**removed);
            // A full batch: there are probably more.
            const bool more = removed->ok() && **removed == kBatch;
            later(more ? std::chrono::milliseconds(100) : kPause);
          },
          [=](const caf::error&) { later(kPause); });
}

}  // namespace

caf::actor spawn_session_janitor(caf::actor_system& system, Database& database, Probe& probe) {
  return system.spawn([database = &database, probe = &probe](caf::event_based_actor* self) {
    actor::after(self, kPause, [=] { sweep(self, database, probe); });
    // No messages: timers and answers only.
    return caf::behavior{[](const Error&) {}};
  });
}

}  // namespace raymesh::auth
