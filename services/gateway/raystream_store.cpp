#include "services/gateway/raystream_store.hpp"

#include "libs/crypto/random.hpp"
#include "services/gateway/core.hpp"

namespace raymesh::gateway {
namespace {

constexpr std::chrono::milliseconds kWriteTimeout{2'000};
constexpr std::chrono::milliseconds kMarkSlack{120'000};

}  // namespace

RaystreamStore::RaystreamStore(Core& core) : core_(core), owner_(crypto::random_token(16)) {}

bool RaystreamStore::ready() const {
  return core_.peers.cache->ready();
}

// Each of these may be sent twice.
template <class Reply, class Request>
void RaystreamStore::call(Worker& worker, std::string_view method, const Request& request,
                          std::chrono::milliseconds timeout, Done<Reply> done) {
  rpc::CallOptions options;
  options.timeout = timeout;
  options.repeat = rpc::Repeat::kSafe;
  core_.calls.fetch_add(1, std::memory_order_relaxed);
  core_.peers.cache->call<Reply>(
      method, {}, request, options,
      [core = &core_, thread = worker.index, done = std::move(done)](Result<Reply> reply) mutable {
        core->threads.post(thread,
                           [core, done = std::move(done), reply = std::move(reply)]() mutable {
                             core->calls.fetch_sub(1, std::memory_order_relaxed);
                             done(std::move(reply));
                           });
      });
}

void RaystreamStore::get(Worker& worker, std::string_view session_id,
                         std::chrono::milliseconds timeout, Done<cache::v1::SessionReply> done) {
  cache::v1::SessionRequest request;
  request.set_session_id(session_id.data(), session_id.size());
  call<cache::v1::SessionReply>(worker, "GetSession", request, timeout, std::move(done));
}

void RaystreamStore::put(Worker& worker, cache::v1::PutSessionRequest request,
                         Done<cache::v1::PutSessionReply> done) {
  request.set_owner(owner_);
  call<cache::v1::PutSessionReply>(worker, "PutSession", request, kWriteTimeout, std::move(done));
}

void RaystreamStore::confirm(Worker& worker, cache::v1::ConfirmSessionsRequest request,
                             Done<cache::v1::CountReply> done) {
  request.set_owner(owner_);
  call<cache::v1::CountReply>(worker, "ConfirmSessions", request, kWriteTimeout, std::move(done));
}

void RaystreamStore::end(Worker& worker, std::string_view session_id, uint64_t generation,
                         std::string_view owner, bool lower) {
  cache::v1::EndSessionRequest request;
  request.set_session_id(session_id.data(), session_id.size());
  request.set_generation(generation);
  request.set_owner(owner.data(), owner.size());
  // An owner that has lost the session without knowing it has ended or asked by then.
  if (lower)
    request.set_mark_ms(static_cast<uint64_t>((core_.config.raystream.life + kMarkSlack).count()));
  call<cache::v1::BoolReply>(worker, "EndSession", request, kWriteTimeout,
                             [](const Result<cache::v1::BoolReply>&) {});
}

void RaystreamStore::lost(Worker& worker, const std::vector<std::string>& after,
                          Done<cache::v1::LostSessionsReply> done) {
  cache::v1::LostSessionsRequest request;
  request.set_owner(owner_);
  for (const std::string& position : after) request.add_after(position);
  call<cache::v1::LostSessionsReply>(worker, "LostSessions", request, kWriteTimeout,
                                     std::move(done));
}

}  // namespace raymesh::gateway
