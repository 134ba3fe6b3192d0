#include "services/gateway/raystream_record.hpp"

#include <algorithm>
#include <utility>

#include "services/gateway/core.hpp"
#include "services/gateway/raystream_session.hpp"

namespace raymesh::gateway {
namespace {

constexpr std::chrono::milliseconds kLongestRenewal{60'000};

// So often at most a session is written that only lives on.
std::chrono::milliseconds renewal(const RaystreamConfig& config) {
  return std::min(kLongestRenewal, config.life / 4);
}

}  // namespace

std::chrono::milliseconds RaystreamRecord::slack(const RaystreamSession& session) {
  const RaystreamConfig& config = session.worker().core.config.raystream;
  return renewal(config) + config.check_period;
}

void RaystreamRecord::own(uint64_t generation) {
  RaystreamOwners& owners = session_.worker().core.raystream_owners;
  if (generation_ == 0)
    owners.add(session_.id(), generation, session_.worker().index, session_.shared_from_this());
  else
    owners.change(session_.id(), &session_, generation);
  generation_ = generation;
  version_ = 0;
}

void RaystreamRecord::raise(const Stored& stored, std::string_view secret, Done done) {
  own(stored.generation + 1);
  previous_ = crypto::Locked<crypto::Secret32>::make();
  previous_->assign(secret);
  std::vector<Done> one;
  one.push_back(std::move(done));
  write(&stored, std::move(one));
}

void RaystreamRecord::save(Done done) {
  if (done) waiting_.push_back(std::move(done));
  if (writing_)
    wanted_ = true;
  else
    write(nullptr, std::exchange(waiting_, {}));
}

void RaystreamRecord::write(const Stored* raised, std::vector<Done> done) {
  Worker& worker = session_.worker();
  RaystreamStore& store = worker.core.raystream_store;
  const bool raise = raised != nullptr;
  writing_ = true;
  wanted_ = dirty_ = false;
  auto answered = [session = session_.shared_from_this(), this, raise,
                   done = std::move(done)](Result<cache::v1::PutSessionReply> reply) mutable {
    session->later([this, raise, done = std::move(done), reply = std::move(reply)]() mutable {
      written(raise, reply, std::move(done));
    });
  };
  // A client that attaches while the cache service is away is not kept waiting for it.
  if (!raise && !store.ready())
    return answered(Error(errors::kUnavailable, "no cache service is connected"));
  const StoredSession stored = session_.to_store();
  cache::v1::PutSessionRequest request;
  const std::string_view id = session_.id();
  request.set_session_id(id.data(), id.size());
  request.set_generation(generation_);
  request.set_version(++version_);
  if (raise) {
    request.set_raise(true);
    request.set_by_previous(raised->by_previous);
    if (raised->owner != store.owner()) request.set_lost_by(raised->owner);
  }
  request.set_ttl_ms(std::max<uint64_t>(1, stored.expires_at - session_.unix_ms()));
  request.set_state(seal_state(store.keys(), {id, generation_, version_},
                               session_.resumption_secret(),
                               previous_ ? previous_->view() : std::string_view(), stored));
  store.put(worker, std::move(request), std::move(answered));
}

void RaystreamRecord::written(bool raise, const Result<cache::v1::PutSessionReply>& reply,
                              std::vector<Done> done) {
  if (session_.is_over()) return;
  writing_ = false;
  RaystreamProbe& probe = session_.worker().core.raystream_probe;
  Saved saved = Saved::kStored;
  if (!reply.ok()) {
    saved = Saved::kFailed;
    dirty_ = true;
    probe.state_write_failed();
  } else if (!reply->stored()) {
    saved = Saved::kLost;
    probe.state_write_refused();
  } else {
    saved_at_ = Clock::now();
    probe.state_written();
  }
  for (Done& one : done) one(saved);
  if (saved == Saved::kLost && !raise) return session_.lost();
  // What has come since has a write of its own.
  if (wanted_ && !writing_ && !session_.is_over()) write(nullptr, std::exchange(waiting_, {}));
}

void RaystreamRecord::client_goes_on() {
  if (!previous_) return;
  previous_.reset();
  session_.worker().core.raystream_owners.confirm(session_.id(), generation_);
}

void RaystreamRecord::check(Clock::time_point last_frame) {
  if (!active() || writing_) return;
  const RaystreamConfig& config = session_.worker().core.config.raystream;
  if (dirty_ || last_frame >= saved_at_ + renewal(config)) save({});
}

void RaystreamRecord::forget() {
  if (!active()) return;
  RaystreamStore& store = session_.worker().core.raystream_store;
  // A write that is under way must not bring it back, nor one that nobody knows the end of.
  store.end(session_.worker(), session_.id(), generation_, store.owner(),
            generation_ > 1 || writing_ || dirty_);
}

void RaystreamRecord::leave() {
  if (active()) session_.worker().core.raystream_owners.remove(session_.id(), &session_);
  previous_.reset();
  waiting_.clear();
}

}  // namespace raymesh::gateway
