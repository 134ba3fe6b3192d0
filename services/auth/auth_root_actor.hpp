// The root of the auth service's actors: supervises the login throttle and the session janitor and
// passes on what comes for the throttle. Spawned and quit by the app; the functions below from any
// thread. What is on its way to it is bounded by the calls that the server lets in.
#pragma once

#include <caf/actor.hpp>
#include <chrono>

#include "libs/base/unique_function.hpp"
#include "services/auth/login_throttle.hpp"

namespace raymesh::auth {

class Database;
class Probe;

/// `database` and `probe` outlive the actors.
caf::actor spawn_auth_root(caf::actor_system& system, const ThrottleConfig& throttle,
                           Database& database, Probe& probe);

/// `done` runs in the actor, with how long to wait, or zero to go on. Must not block.
void begin_login(const caf::actor& root, LoginThrottle::Attempt attempt,
                 UniqueFunction<void(std::chrono::milliseconds)> done);
enum class LoginEnd { kSucceeded, kCancelled };
/// Not for an attempt that failed: that one stays counted.
void end_login(const caf::actor& root, LoginThrottle::Attempt attempt, LoginEnd end);

}  // namespace raymesh::auth
