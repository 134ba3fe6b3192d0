#include "services/gateway/raystream_owners.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "services/gateway/core.hpp"
#include "services/gateway/raystream_actor.hpp"
#include "services/gateway/raystream_session.hpp"

namespace raymesh::gateway {
namespace {

// The one thread that asks.
constexpr size_t kThread = 0;
// Of one call to the store.
constexpr size_t kMostConfirmed = 1'000;
// So many wait for a store that is away. Who is not among them is written without the old secret
// when its record is renewed.
constexpr size_t kMostWaiting = 20'000;

}  // namespace

void RaystreamOwners::add(std::string_view id, uint64_t generation, size_t thread,
                          const std::shared_ptr<RaystreamSession>& session) {
  const std::lock_guard lock(mutex_);
  owners_.emplace(id, Owner{session.get(), session, thread, generation});
  poll();
}

// Under the mutex.
void RaystreamOwners::poll() {
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

void RaystreamOwners::confirm(std::string_view id, uint64_t generation) {
  const std::lock_guard lock(mutex_);
  if (confirmed_.size() >= kMostWaiting) return;
  confirmed_.push_back({std::string(id), generation});
  poll();
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
  std::vector<Confirmed> confirmed;
  {
    const std::lock_guard lock(mutex_);
    confirmed.swap(confirmed_);
    polling_ = !owners_.empty() || !confirmed.empty();
    if (!polling_) return;
  }
  Worker& worker = *core_.workers[kThread];
  // In one turn: they travel with the question below.
  for (size_t i = 0; i < confirmed.size(); i += kMostConfirmed) {
    const auto first = confirmed.begin() + static_cast<ptrdiff_t>(i);
    const auto count = std::min(kMostConfirmed, confirmed.size() - i);
    send_confirmed(worker, {std::make_move_iterator(first),
                            std::make_move_iterator(first + static_cast<ptrdiff_t>(count))});
  }
  core_.raystream_store.lost(
      worker, after_, [this, &worker](const Result<cache::v1::LostSessionsReply>& reply) {
        if (reply.ok()) take(*reply);
        const bool more = reply.ok() && reply->more();
        worker.fences.arm(
            *this, more ? std::chrono::milliseconds(1) : core_.config.raystream.fence_period);
      });
}

void RaystreamOwners::send_confirmed(Worker& worker, std::vector<Confirmed> confirmed) {
  cache::v1::ConfirmSessionsRequest request;
  for (const Confirmed& one : confirmed) {
    auto& added = *request.add_sessions();
    added.set_session_id(one.id);
    added.set_generation(one.generation);
  }
  core_.raystream_store.confirm(
      worker, std::move(request),
      [this, confirmed = std::move(confirmed)](const Result<cache::v1::CountReply>& reply) mutable {
        // Again while the store is away, and for no other reason: a cache service that does not
        // know of this is not asked for ever.
        if (reply.ok() || (reply.error().status() != StatusCode::kUnavailable &&
                           reply.error().status() != StatusCode::kDeadlineExceeded))
          return;
        for (const Confirmed& one : confirmed) confirm(one.id, one.generation);
      });
}

void RaystreamOwners::take(const cache::v1::LostSessionsReply& reply) {
  after_.assign(reply.after().begin(), reply.after().end());
  for (const auto& one : reply.lost()) lost(one.session_id(), one.generation());
}

}  // namespace raymesh::gateway
