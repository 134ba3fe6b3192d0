#include "services/cache/usage_actor.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <charconv>
#include <deque>

#include "libs/actor/ask.hpp"
#include "libs/redis/store.hpp"
#include "libs/telemetry/log.hpp"
#include "services/cache/keyspace.hpp"
#include "services/cache/probe.hpp"
#include "services/cache/scripts.hpp"

namespace raymesh::cache {
namespace {

constexpr std::chrono::milliseconds kStepTimeout{5'000};
constexpr size_t kKeysPerStep = 200;  // some 100 us of Redis' time
constexpr size_t kMaxWaiting = 1'000;

struct UsageState {
  static inline const char* name = "cache-usage";
  redis::Store* store = nullptr;
  Probe* probe = nullptr;
  // Invariant: the first one is being measured.
  std::deque<MeasureUsage> work;
  std::string cursor;
  uint64_t bytes = 0;
};
using Self = caf::stateful_actor<UsageState>;

void begin(Self* self);

void next(Self* self) {
  self->state.work.pop_front();
  if (!self->state.work.empty()) begin(self);
}

void give_up(Self* self, const std::string& reason) {
  log::warn("cannot measure a project's cache usage",
            {{"project", self->state.work.front().project}, {"reason", reason}});
  next(self);
}

void finish(Self* self) {
  UsageState& state = self->state;
  const MeasureUsage& work = state.work.front();
  state.store->primary(work.primary)
      .call(redis::Command("SET", usage_name(work.project), state.bytes), redis::Effect::kWrite,
            redis::Client::Clock::now() + kStepTimeout, [](Result<redis::Reply>) {});
  state.probe->usage_measured();
  next(self);
}

void step(Self* self) {
  const MeasureUsage& work = self->state.work.front();
  redis::Command tail;
  tail.arg(0).arg(self->state.cursor).arg(entries_pattern(work.project)).arg(kKeysPerStep);
  redis::Client& primary = self->state.store->primary(work.primary);
  actor::ask<redis::Reply>(self, 2 * kStepTimeout,
                           [&](actor::Completion<redis::Reply> done) {
                             primary.eval(
                                 measure_script(), std::move(tail), redis::Effect::kRead,
                                 redis::Client::Clock::now() + kStepTimeout,
                                 [done](Result<redis::Reply> reply) { done(std::move(reply)); });
                           })
      .then(
          [self](actor::Outcome<redis::Reply>& reply) {
            if (!reply->ok()) return give_up(self, reply->error().message);
            const auto& items = (*reply)->items;
            if (items.size() != 2) return give_up(self, "unexpected reply");
            self->state.cursor = items[0].text;
            self->state.bytes += static_cast<uint64_t>(items[1].integer);
            if (self->state.cursor == "0")
              finish(self);
            else
              step(self);
          },
          [self](const caf::error& error) { give_up(self, actor::to_error(error).message); });
}

void begin(Self* self) {
  self->state.cursor = "0";
  self->state.bytes = 0;
  step(self);
}

caf::behavior usage_actor(Self* self, redis::Store* store, Probe* probe) {
  self->state.store = store;
  self->state.probe = probe;
  return {[self](const MeasureUsage& work) {
    auto& waiting = self->state.work;
    if (waiting.size() >= kMaxWaiting) return;  // asked for again in 30 s
    waiting.push_back(work);
    if (waiting.size() == 1) begin(self);
  }};
}

}  // namespace

caf::actor spawn_usage_actor(caf::actor_system& system, redis::Store& store, Probe& probe) {
  return system.spawn(usage_actor, &store, &probe);
}

}  // namespace raymesh::cache
