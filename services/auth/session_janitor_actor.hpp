// Deletes the rows of sessions that expired, some at a time, every ten minutes; several auth nodes
// may do so at once. Supervised by the auth root.
#pragma once

#include <caf/actor.hpp>

namespace raymesh::auth {

class Database;
class Probe;

caf::actor spawn_session_janitor(caf::actor_system& system, Database& database, Probe& probe);

}  // namespace raymesh::auth
