// The actor that owns the LoginThrottle. Supervised by the auth root, which alone sends to it.
#pragma once

#include <caf/actor.hpp>
#include <chrono>
#include <memory>

#include "libs/actor/messages.hpp"
#include "libs/base/unique_function.hpp"
#include "services/auth/login_throttle.hpp"

namespace raymesh::auth {

class Probe;

struct BeginLogin {
  LoginThrottle::Attempt attempt;
  /// Shared because messages must be copyable; run once.
  std::shared_ptr<UniqueFunction<void(std::chrono::milliseconds)>> done;
};
struct LoginSucceeded {
  LoginThrottle::Attempt attempt;
};
struct LoginCancelled {
  LoginThrottle::Attempt attempt;
};

caf::actor spawn_login_throttle(caf::actor_system& system, const ThrottleConfig& config,
                                Probe& probe);

}  // namespace raymesh::auth

RAYMESH_ACTOR_MESSAGE(raymesh::auth::BeginLogin)
RAYMESH_ACTOR_MESSAGE(raymesh::auth::LoginSucceeded)
RAYMESH_ACTOR_MESSAGE(raymesh::auth::LoginCancelled)
