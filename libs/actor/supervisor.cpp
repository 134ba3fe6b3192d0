#include "libs/actor/supervisor.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/send.hpp>
#include <utility>

#include "libs/actor/timer.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::actor {
namespace {

// An actor that ended because it was done, or was told to, did not fail.
bool is_failure(const caf::error& reason) {
  return reason && reason != caf::exit_reason::normal && reason != caf::exit_reason::user_shutdown;
}

}  // namespace

Supervisor::Supervisor(caf::event_based_actor* self, RestartPolicy policy, Escalate escalate)
    : self_(self), policy_(policy), escalate_(std::move(escalate)) {
  if (!escalate_)
    escalate_ = [self](const std::string&, const caf::error& reason) { self->quit(reason); };
  self_->set_down_handler([this](const caf::down_msg& down) { on_down(down); });
}

Supervisor::~Supervisor() {
  stop();
}

void Supervisor::add(const std::string& name, Start start) {
  Child& child = children_[name];
  child.start = std::move(start);
  launch(child);
}

caf::actor Supervisor::child(const std::string& name) const {
  auto it = children_.find(name);
  return it == children_.end() ? caf::actor() : it->second.handle;
}

void Supervisor::stop() {
  auto children = std::exchange(children_, {});
  for (auto& [name, child] : children) {
    if (!child.handle) continue;
    self_->demonitor(child.handle);
    caf::anon_send_exit(child.handle, caf::exit_reason::user_shutdown);
  }
}

void Supervisor::launch(Child& child) {
  child.handle = child.start();
  self_->monitor(child.handle);
}

void Supervisor::on_down(const caf::down_msg& down) {
  for (auto& [name, child] : children_) {
    if (!child.handle || child.handle.address() != down.source) continue;
    child.handle = nullptr;
    if (is_failure(down.reason)) on_failure(name, child, down.reason);
    return;
  }
}

void Supervisor::on_failure(const std::string& name, Child& child, const caf::error& reason) {
  auto now = Clock::now();
  child.failures.push_back(now);
  while (now - child.failures.front() > policy_.window) child.failures.pop_front();
  std::string why = self_->system().render(reason);
  if (child.failures.size() > policy_.max_restarts) {
    log::error("actor failed too often", {{"actor", name}, {"reason", why}});
    escalate_(name, reason);
    return;
  }
  auto doublings = std::min<size_t>(child.failures.size() - 1, 20);
  auto delay = std::min(policy_.first_delay * (1 << doublings), policy_.max_delay);
  log::warn("actor failed; it is started again",
            {{"actor", name}, {"reason", why}, {"delay_ms", delay.count()}});
  after(self_, delay, [this, name] {
    auto it = children_.find(name);
    if (it == children_.end() || it->second.handle) return;
    ++restarts_;
    launch(it->second);
  });
}

}  // namespace raymesh::actor
