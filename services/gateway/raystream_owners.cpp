#include "services/gateway/raystream_owners.hpp"

#include "services/gateway/core.hpp"
#include "services/gateway/raystream_actor.hpp"
#include "services/gateway/raystream_session.hpp"

namespace raymesh::gateway {
namespace {

// The one thread that asks.
constexpr size_t kThread = 0;

}  // namespace

void RaystreamOwners::add(std::string_view id, uint64_t generation, size_t thread,
                          const std::shared_ptr<RaystreamSession>& session) {
  const std::lock_guard lock(mutex_);
  owners_.emplace(id, Owner{session.get(), session, thread, generation});
  if (std::exchange(polling_, true)) return;
  core_.threads.post(kThread, [this] {
    core_.workers[kThread]->fences.arm(*this, core_.config.raystream.fence_period);
  });
}

void RaystreamOwners::change(std::string_view id, const RaystreamSession* session,
                             uint64_t generation) {
  const std::lock_guard lock(mutex_);
  auto [at, end] = owners_.equal_range(std::string(id));
  for (; at != end; ++at)
    if (at->second.key == session) at->second.generation = generation;
}

void RaystreamOwners::remove(std::string_view id, const RaystreamSession* session) {
  const std::lock_guard lock(mutex_);
  auto [at, end] = owners_.equal_range(std::string(id));
  for (; at != end; ++at) {
    if (at->second.key != session) continue;
    owners_.erase(at);
    return;
  }
}

void RaystreamOwners::lost(std::string_view id, uint64_t generation) {
  const std::lock_guard lock(mutex_);
  auto [at, end] = owners_.equal_range(std::string(id));
  for (; at != end; ++at) {
    if (at->second.generation >= generation) continue;
    core_.threads.post(at->second.thread, [loser = at->second.session, generation] {
      if (const auto session = loser.lock()) tell(*session, Lost{generation});
    });
  }
}

void RaystreamOwners::on_timeout() {
  {
    const std::lock_guard lock(mutex_);
    polling_ = !owners_.empty();
    if (!polling_) return;
  }
  Worker& worker = *core_.workers[kThread];
  core_.raystream_store.lost(
      worker, after_, [this, &worker](const Result<cache::v1::LostSessionsReply>& reply) {
        if (reply.ok()) take(*reply);
        const bool more = reply.ok() && reply->more();
        worker.fences.arm(
            *this, more ? std::chrono::milliseconds(1) : core_.config.raystream.fence_period);
      });
}

void RaystreamOwners::take(const cache::v1::LostSessionsReply& reply) {
  after_.assign(reply.after().begin(), reply.after().end());
  for (const auto& one : reply.lost()) lost(one.session_id(), one.generation());
}

}  // namespace raymesh::gateway
