#include "services/auth/login_throttle_actor.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>

#include "services/auth/probe.hpp"

namespace raymesh::auth {
namespace {

struct LoginThrottleState {
  static inline const char* name = "login-throttle";
  std::unique_ptr<LoginThrottle> throttle;
  Probe* probe = nullptr;

  void begin(const BeginLogin& login) {
    const auto wait = throttle->begin(login.attempt, LoginThrottle::Clock::now());
    if (wait.count() > 0) probe->throttled();
    (*login.done)(wait);
  }
};
using Self = caf::stateful_actor<LoginThrottleState>;

caf::behavior login_throttle(Self* self, const ThrottleConfig& config, Probe* probe) {
  self->state.throttle = std::make_unique<LoginThrottle>(config);
  self->state.probe = probe;
  return {
      [self](const BeginLogin& login) { self->state.begin(login); },
      [self](const LoginSucceeded& login) { self->state.throttle->succeeded(login.attempt); },
      [self](const LoginCancelled& login) { self->state.throttle->cancelled(login.attempt); },
  };
}

}  // namespace

caf::actor spawn_login_throttle(caf::actor_system& system, const ThrottleConfig& config,
                                Probe& probe) {
  return system.spawn(login_throttle, config, &probe);
}

}  // namespace raymesh::auth
