#include "services/auth/auth_root_actor.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>

#include "libs/actor/supervisor.hpp"
#include "services/auth/database.hpp"
#include "services/auth/login_throttle_actor.hpp"
#include "services/auth/probe.hpp"
#include "services/auth/session_janitor_actor.hpp"

namespace raymesh::auth {
namespace {

constexpr const char* kThrottle = "login-throttle";
constexpr const char* kJanitor = "session-janitor";
// The throttle is being started again: logins wait for it rather than go unthrottled.
constexpr std::chrono::milliseconds kThrottleRestart{1'000};

struct AuthRootState {
  static inline const char* name = "auth-root";
  std::unique_ptr<actor::Supervisor> supervisor;
};
using Self = caf::stateful_actor<AuthRootState>;

template <class Message>
bool pass_on(Self* self, const Message& message) {
  auto throttle = self->state.supervisor->child(kThrottle);
  if (!throttle) return false;
  self->send(throttle, message);
  return true;
}

caf::behavior auth_root(Self* self, const ThrottleConfig& throttle, Database* database,
                        Probe* probe) {
  auto& system = self->system();
  self->state.supervisor = std::make_unique<actor::Supervisor>(self);
  self->state.supervisor->add(kThrottle, [&system, throttle, probe] {
    return spawn_login_throttle(system, throttle, *probe);
  });
  self->state.supervisor->add(kJanitor, [&system, database, probe] {
    return spawn_session_janitor(system, *database, *probe);
  });
  return {
      [self](const BeginLogin& login) {
        if (!pass_on(self, login)) (*login.done)(kThrottleRestart);
      },
      [self](const LoginSucceeded& login) { pass_on(self, login); },
      [self](const LoginCancelled& login) { pass_on(self, login); },
  };
}

}  // namespace

caf::actor spawn_auth_root(caf::actor_system& system, const ThrottleConfig& throttle,
                           Database& database, Probe& probe) {
  return system.spawn(auth_root, throttle, &database, &probe);
}

void begin_login(const caf::actor& root, LoginThrottle::Attempt attempt,
                 UniqueFunction<void(std::chrono::milliseconds)> done) {
  caf::anon_send(root, BeginLogin{std::move(attempt),
                                  std::make_shared<UniqueFunction<void(std::chrono::milliseconds)>>(
                                      std::move(done))});
}

void end_login(const caf::actor& root, LoginThrottle::Attempt attempt, LoginEnd end) {
  if (end == LoginEnd::kSucceeded)
    caf::anon_send(root, LoginSucceeded{std::move(attempt)});
  else
    caf::anon_send(root, LoginCancelled{std::move(attempt)});
}

}  // namespace raymesh::auth
