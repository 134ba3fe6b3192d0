#include "libs/actor/loop_unit.hpp"

#include <caf/actor_system.hpp>
#include <caf/resumable.hpp>
#include <utility>

namespace raymesh::actor {
namespace {

// Messages that one actor handles before the next one gets its turn.
constexpr size_t kMaxThroughput = 64;

thread_local LoopUnit* current_unit = nullptr;

}  // namespace

LoopUnit::LoopUnit(caf::actor_system& system) : caf::execution_unit(&system) {
  current_unit = this;
}

LoopUnit::~LoopUnit() {
  while (run()) {
  }
  current_unit = nullptr;
}

caf::execution_unit* LoopUnit::current() {
  return current_unit;
}

LoopUnit::Elsewhere::Elsewhere() : unit_(std::exchange(current_unit, nullptr)) {}

LoopUnit::Elsewhere::~Elsewhere() {
  current_unit = unit_;
}

void LoopUnit::exec_later(caf::resumable* job) {
  jobs_.push_back(job);
}

bool LoopUnit::run() {
  for (size_t left = jobs_.size(); left > 0; --left) {
    caf::resumable* job = jobs_.front();
    jobs_.pop_front();
    // Reference counts as in CAF's own worker: a job in the queue holds one.
    if (job->resume(this, kMaxThroughput) == caf::resumable::resume_later) {
      jobs_.push_back(job);
    } else {
      caf::intrusive_ptr_release(job);
    }
  }
  return !jobs_.empty();
}

}  // namespace raymesh::actor
