// Lets a thread with an event loop of its own (a realtime shard) run actors that it has just sent
// to, instead of waking a scheduler thread for each of them: CAF hands an idle actor to the
// execution unit that its sender names. Such an actor is still an ordinary one: anybody may send to
// it, and when others wake it, it runs on CAF's scheduler. Owned and used by its thread alone.
#pragma once

#include <caf/execution_unit.hpp>
#include <cstddef>
#include <deque>

namespace caf {
class actor_system;
class resumable;
}  // namespace caf

namespace raymesh::actor {

class LoopUnit final : public caf::execution_unit {
 public:
  /// Becomes the thread's unit until it is destroyed.
  explicit LoopUnit(caf::actor_system& system);
  /// Runs what is left.
  ~LoopUnit() override;
  LoopUnit(const LoopUnit&) = delete;
  LoopUnit& operator=(const LoopUnit&) = delete;

  /// The unit to name when sending from this thread: nullptr on threads that have none.
  static caf::execution_unit* current();

  /// For as long as it lives, what the thread sends to idle actors is run by CAF's scheduler: for
  /// work that may take long, which the thread's loop should not wait for.
  class Elsewhere {
   public:
    Elsewhere();
    ~Elsewhere();
    Elsewhere(const Elsewhere&) = delete;
    Elsewhere& operator=(const Elsewhere&) = delete;

   private:
    LoopUnit* const unit_;
  };

  void exec_later(caf::resumable* job) override;
  /// Runs every actor that waits here once; true when some have more to do.
  bool run();
  bool has_jobs() const { return !jobs_.empty(); }

 private:
  std::deque<caf::resumable*> jobs_;
};

}  // namespace raymesh::actor
