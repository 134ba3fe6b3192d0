// Measures anew what a project's entries use on a primary, when the estimate that the writes keep
// comes near the quota: entries that expired or were evicted have not been subtracted. One project
// at a time, in small steps, so that Redis goes on answering. Spawned by the app; its mailbox is
// bounded by Entries (one message per project, primary and 30 s) and by its own queue.
#pragma once

#include <caf/actor.hpp>
#include <cstddef>
#include <string>

#include "libs/actor/messages.hpp"

namespace raymesh::redis {
class Store;
}

namespace raymesh::cache {

class Probe;

struct MeasureUsage {
  std::string project;
  size_t primary = 0;  // index in the store
};

/// `store` and `probe` outlive the actor.
caf::actor spawn_usage_actor(caf::actor_system& system, redis::Store& store, Probe& probe);

}  // namespace raymesh::cache

RAYMESH_ACTOR_MESSAGE(raymesh::cache::MeasureUsage)
