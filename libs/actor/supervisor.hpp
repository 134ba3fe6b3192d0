// Keeps the children of an actor alive: watches them, starts one again that failed, later each
// time, and gives up when that happens too often. A member of the supervising actor's state; used
// by that actor only.
#pragma once

#include <caf/actor.hpp>
#include <caf/event_based_actor.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "libs/base/result.hpp"

namespace raymesh::actor {

struct RestartPolicy {
  std::chrono::milliseconds first_delay{100};  // doubled with each failure within `window`
  std::chrono::milliseconds max_delay{10'000};
  size_t max_restarts = 10;  // of one child within `window`; one more escalates
  std::chrono::milliseconds window{60'000};
};

class Supervisor {
 public:
  /// Starts the child and returns it. Called at once by add, and again for every restart; it may
  /// also hand the new handle to whoever talks to the child.
  using Start = std::function<caf::actor()>;
  /// The child keeps failing. The default ends the supervising actor with the child's reason, so
  /// that its own supervisor sees it.
  using Escalate = std::function<void(const std::string& child, const caf::error& reason)>;

  /// Takes over `self`'s down handler.
  explicit Supervisor(caf::event_based_actor* self, RestartPolicy policy = {},
                      Escalate escalate = nullptr);
  /// stop().
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  void add(const std::string& name, Start start);
  /// Null while the child waits for its restart, or when there is none of this name.
  caf::actor child(const std::string& name) const;
  /// Tells every child to end and starts none again.
  void stop();

  uint64_t restarts() const { return restarts_; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Child {
    Start start;
    caf::actor handle;
    std::deque<Clock::time_point> failures;  // within the window; at most max_restarts + 1
  };

  void launch(Child& child);
  void on_down(const caf::down_msg& down);
  void on_failure(const std::string& name, Child& child, const caf::error& reason);

  caf::event_based_actor* self_;
  RestartPolicy policy_;
  Escalate escalate_;
  std::map<std::string, Child> children_;
  uint64_t restarts_ = 0;
};

}  // namespace raymesh::actor
