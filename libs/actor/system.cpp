#include "libs/actor/system.hpp"

#include <algorithm>
#include <caf/actor_registry.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <chrono>

#include "libs/base/cores.hpp"
#include "libs/base/signal_mask.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::actor {
namespace {

caf::actor_system_config& configure(caf::actor_system_config& config, size_t threads) {
  if (threads == 0) threads = std::max<size_t>(2, available_cores());
  config.set("scheduler.policy", caf::atom("sharing"));
  config.set("scheduler.max-threads", threads);
  return config;
}

}  // namespace

struct System::Impl {
  explicit Impl(size_t threads) : system(configure(config, threads)) {
    system.await_actors_before_shutdown(false);
  }
  caf::actor_system_config config;
  caf::actor_system system;
};

System::System(size_t threads) {
  SignalsBlocked for_the_scheduler;
  impl_ = std::make_unique<Impl>(threads);
}

System::~System() {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (impl_->system.registry().running() > 0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (size_t left = impl_->system.registry().running(); left > 0)
    log::warn("actors still running at exit", {{"actors", left}});
}

caf::actor_system& System::get() {
  return impl_->system;
}

}  // namespace raymesh::actor
