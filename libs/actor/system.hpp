// The actor system of a process. CAF 0.17.6 with the policy "sharing": no CPU while idle, and a
// third of the latency of work stealing at this size. Owned by host::run (one per process); made
// and destroyed by the main thread. Everything else gets the caf::actor_system& inside.
#pragma once

#include <cstddef>
#include <memory>

namespace caf {
class actor_system;
}

namespace raymesh::actor {

class System {
 public:
  /// `threads` scheduler threads; 0: one per core, at least two.
  explicit System(size_t threads = 0);
  /// Actors must have been told to quit before (App::stop). Waits up to two seconds for them, then
  /// reports how many are left: two actors that hold each other would keep CAF waiting forever.
  ~System();
  System(const System&) = delete;
  System& operator=(const System&) = delete;

  caf::actor_system& get();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace raymesh::actor
