// Of RaystreamSession: how a session that is stored goes on over this connection. The look-up and
// the binder change nothing; RESUME does, once key and token have been checked again and the
// generation has been raised (docs/protocols/raystream.md, "Resuming").
#include <algorithm>
#include <set>
#include <utility>

#include "libs/crypto/hash.hpp"
#include "libs/telemetry/log.hpp"
#include "raymesh/auth/v1/auth.pb.h"
#include "raymesh/raystream/v1/raystream.pb.h"
#include "services/gateway/core.hpp"
#include "services/gateway/raystream_actor.hpp"
#include "services/gateway/raystream_methods.hpp"
#include "services/gateway/raystream_session.hpp"
#include "services/gateway/raystream_subscriptions.hpp"

namespace raymesh::gateway {

using raystream::ErrorCode;
using raystream::FrameType;
using Resumption = RaystreamProbe::Resumption;

/// What is known of the session that a client wants to go on with.
struct RaystreamResuming {
  RaystreamRecord::Stored stored;
  StoredSession session;                    // its subscriptions in their order
  crypto::Locked<crypto::Secret32> secret;  // the one that its binder was made with
  raymesh::raystream::v1::Resume asked;
  // The token's, as its last check said; empty: none.
  std::string user;
  std::string user_session;
  bool may_subscribe = false;  // by its API key, as it is now
  int tries = 0;

  void take(StoredSession stored_session) {
    session = std::move(stored_session);
    std::ranges::sort(session.subscriptions);
  }
  /// Whether the stored state has it.
  bool has(const raymesh::raystream::v1::Resume::Subscription& one) const {
    const StoredSubscription wanted{static_cast<uint32_t>(one.kind()), one.name()};
    return std::ranges::binary_search(session.subscriptions, wanted);
  }
};

namespace {

// A stored session that others raise again and again is theirs.
constexpr int kMostRaises = 5;
constexpr std::chrono::milliseconds kLookAgainTimeout{2'000};

uint64_t ms_of(std::chrono::milliseconds time) {
  return static_cast<uint64_t>(time.count());
}

/// nullopt: nothing is stored, or nothing that opens.
std::optional<OpenedState> open_reply(const raystream::StateKeys& keys, std::string_view id,
                                      const cache::v1::SessionReply& reply) {
  if (!reply.found()) return std::nullopt;
  auto opened = open_state(keys, {id, reply.generation(), reply.version()}, reply.state());
  if (opened && reply.confirmed()) opened->secrets->has_previous = false;
  return opened;
}

bool has_ended(const StoredSession& session, const RaystreamConfig& config, uint64_t now) {
  const uint64_t token = session.principal.token_expires_at;
  return now >= session.expires_at ||
         now >= session.first_handshake_at + ms_of(config.longest_life) ||
         (token != 0 && now >= token);
}

}  // namespace

// --- The handshake -------------------------------------------------------------------------------

// Until it is answered the client has nothing to say; what it sends all the same is a second INIT.
void RaystreamSession::look_up() {
  if (!core().raystream_store.enabled()) {
    core().raystream_probe.resumption(Resumption::kUnknown);
    return accept();
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(
      opened_ + core().config.raystream.handshake_timeout - Clock::now());
  core().raystream_store.get(
      worker_, handshake_->resume_id(), std::max(left / 2, std::chrono::milliseconds(1)),
      [self = shared_from_this()](Result<cache::v1::SessionReply> reply) mutable {
        RaystreamSession& session = *self;
        session.later(
            [self = std::move(self), reply = std::move(reply)] { self->looked_up(reply); });
      });
}

// Whatever is wrong, the client sees a new session, and could not tell what it was.
void RaystreamSession::looked_up(const Result<cache::v1::SessionReply>& reply) {
  if (!handshake_) return;
  const auto outcome = [&] {
    if (!reply.ok()) return Resumption::kUnavailable;
    auto stored = open_reply(core().raystream_store.keys(), handshake_->resume_id(), *reply);
    // Of a session that there is not a binder is computed, too.
    const crypto::Secret32 nobody;
    if (!stored && handshake_->binder_fits(nobody.view())) return Resumption::kUnknown;
    if (!stored) {
      if (!reply->found()) return Resumption::kUnknown;
      log::warn("a stored session could not be opened: changed, or sealed with a key that is gone",
                {{"session", handshake_->resume_id()}});
      return Resumption::kUnreadable;
    }
    const ResumptionSecrets& secrets = *stored->secrets;
    const crypto::Secret32* fits = nullptr;
    if (handshake_->binder_fits(secrets.current.view())) fits = &secrets.current;
    if (secrets.has_previous && handshake_->binder_fits(secrets.previous.view()))
      fits = &secrets.previous;
    if (!fits) return Resumption::kForged;
    if (has_ended(stored->session, core().config.raystream, unix_ms())) return Resumption::kOver;
    resuming_ = std::make_shared<RaystreamResuming>();
    resuming_->stored = {reply->generation(), reply->owner(), fits == &secrets.previous};
    resuming_->take(std::move(stored->session));
    resuming_->secret = crypto::Locked<crypto::Secret32>::make();
    resuming_->secret->assign(fits->view());
    return Resumption::kAccepted;
  }();
  core().raystream_probe.resumption(outcome);
  accept();
}

raystream::Refusal RaystreamSession::accept_resumed(raystream::OutgoingBuffer& response) {
  const std::string id(handshake_->resume_id());
  first_handshake_at_ = resuming_->session.first_handshake_at;
  return handshake_->accept(*core().raystream_keys,
                            {id, resuming_->secret->view(), resuming_->session.expires_at},
                            response, session_);
}

// --- RESUME --------------------------------------------------------------------------------------

void RaystreamSession::take_resume(std::string_view payload) {
  if (!resuming_ ||
      !resuming_->asked.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
    return close(ErrorCode::kInvalidRequest, "the payload is no Resume");
  check_resumed_key();
}

// Before it has the session, nothing that it does may change it; but a right that does not hold any
// more ends it for all.
void RaystreamSession::give_up_resuming(ErrorCode code, std::string_view reason) {
  const bool ends = code != ErrorCode::kServiceUnavailable && code != ErrorCode::kConflict;
  if (ends)
    core().raystream_store.end(worker_, session_.id(), resuming_->stored.generation,
                               resuming_->stored.owner, true);
  core().raystream_probe.resumption(
      code == ErrorCode::kServiceUnavailable ? Resumption::kUnavailable
      : code == ErrorCode::kConflict         ? Resumption::kConflict
      : code == ErrorCode::kSessionExpired   ? Resumption::kOver
                                             : Resumption::kUnauthorized);
  close(code, reason);
}

void RaystreamSession::check_resumed_key() {
  const RaystreamPrincipal& principal = resuming_->session.principal;
  KeyInfoPtr key;
  switch (worker_.keys.find_hash(principal.key_hash, key, Clock::now())) {
    case KeyResolver::State::kKnown:
      resuming_->may_subscribe = may_use(*subscribe_method().route, key.get());
      if (key->project_id != principal.project)
        return give_up_resuming(ErrorCode::kUnauthorized, "the API key has been revoked");
      if (key->development && !local_)
        return give_up_resuming(ErrorCode::kForbidden,
                                "the development key works only on loopback");
      return check_resumed_token();
    case KeyResolver::State::kUnknown:
      return give_up_resuming(ErrorCode::kUnauthorized, "the API key has been revoked");
    case KeyResolver::State::kAsked:
      break;
  }
  worker_.keys.wait([self = shared_from_this()](const KeyResolver::Answer& answer) {
    self->later([self, known = answer.ok()] {
      if (known) return self->check_resumed_key();
      self->give_up_resuming(ErrorCode::kServiceUnavailable, "the API key cannot be checked now");
    });
  });
}

void RaystreamSession::check_resumed_token() {
  const RaystreamPrincipal& principal = resuming_->session.principal;
  if (principal.access_token.empty()) return raise();
  verify_token(principal, [this](const Result<auth::v1::VerifyTokenReply>& reply) {
    if (!reply.ok())
      return give_up_resuming(ErrorCode::kServiceUnavailable,
                              "the access token cannot be checked now");
    if (!reply->valid())
      return give_up_resuming(ErrorCode::kUnauthorized, "the access token is not valid any more");
    resuming_->session.principal.token_expires_at =
        static_cast<uint64_t>(reply->expires_at()) * 1'000;
    resuming_->user = reply->user_id();
    resuming_->user_session = reply->session();
    raise();
  });
}

void RaystreamSession::raise() {
  if (has_ended(resuming_->session, core().config.raystream, unix_ms()))
    return give_up_resuming(ErrorCode::kSessionExpired, "the session's life is over");
  principal_ = resuming_->session.principal;
  record_.raise(resuming_->stored, resuming_->secret->view(), [this](RaystreamRecord::Saved saved) {
    switch (saved) {
      case RaystreamRecord::Saved::kStored:
        return answer_resume();
      case RaystreamRecord::Saved::kFailed:
        return give_up_resuming(ErrorCode::kServiceUnavailable,
                                "the session cannot be taken over now");
      case RaystreamRecord::Saved::kLost:
        return look_again();
    }
  });
}

// Somebody else has had it since the look-up. Who sends RESUME last has it, as long as the secret
// that it was made with holds.
void RaystreamSession::look_again() {
  if (++resuming_->tries >= kMostRaises)
    return give_up_resuming(ErrorCode::kConflict, "the session goes on over another connection");
  core().raystream_store.get(
      worker_, session_.id(), kLookAgainTimeout,
      [self = shared_from_this()](Result<cache::v1::SessionReply> reply) mutable {
        RaystreamSession& session = *self;
        session.later([self = std::move(self), reply = std::move(reply)] {
          if (!reply.ok())
            return self->give_up_resuming(ErrorCode::kServiceUnavailable,
                                          "the session cannot be taken over now");
          RaystreamResuming& resuming = *self->resuming_;
          auto stored =
              open_reply(self->core().raystream_store.keys(), self->session_.id(), *reply);
          if (!stored) return self->give_up_resuming(ErrorCode::kSessionExpired, "it has ended");
          const ResumptionSecrets& secrets = *stored->secrets;
          const std::string_view mine = resuming.secret->view();
          const bool by_current = crypto::constant_time_equal(mine, secrets.current.view());
          if (!by_current &&
              !(secrets.has_previous && crypto::constant_time_equal(mine, secrets.previous.view())))
            return self->give_up_resuming(ErrorCode::kConflict,
                                          "the session goes on over another connection");
          resuming.stored = {reply->generation(), reply->owner(), !by_current};
          resuming.take(std::move(stored->session));
          self->raise();
        });
      });
}

void RaystreamSession::answer_resume() {
  raymesh::raystream::v1::Resumed resumed;
  resumed.set_expires_at(ends_at(unix_ms()));
  std::set<std::pair<int, std::string_view>> named;
  for (const auto& one : resuming_->asked.subscriptions()) {
    if (!named.emplace(one.kind(), one.name()).second) continue;
    // Its events come later than this answer.
    if (resuming_->has(one) && resuming_->may_subscribe &&
        subscriptions().go_on({one.kind(), one.name(), one.position(), one.presence(),
                               one.batches(), resuming_->user, resuming_->user_session}))
      continue;
    *resumed.add_ended() = one;
  }
  // Nearly all that the largest RESUME has named: without the positions, which the client knows.
  if (resumed.ByteSizeLong() > session_.max_payload())
    for (auto& one : *resumed.mutable_ended()) one.clear_position();
  resuming_.reset();
  // Whoever has had it in this process; other gateways find word of it in the store.
  core().raystream_owners.lost(session_.id(), record_.generation());
  if (!send_frame(FrameType::kResume, {resumed.SerializeAsString()})) return;
  core().raystream_probe.resumption(Resumption::kDone);
  attached();
}

// --- The owner -----------------------------------------------------------------------------------

void RaystreamSession::store_attached(UniqueFunction<void()> done) {
  if (!core().raystream_store.enabled()) return done();
  record_.begin();
  record_.save([done = std::move(done)](RaystreamRecord::Saved) mutable { done(); });
}

// When it ends if nothing extends it.
uint64_t RaystreamSession::ends_at(uint64_t now) const {
  const RaystreamConfig& config = core().config.raystream;
  uint64_t end =
      std::min(now + ms_of(config.life), first_handshake_at_ + ms_of(config.longest_life));
  if (principal_.token_expires_at != 0) end = std::min(end, principal_.token_expires_at);
  return std::max(end, now);
}

StoredSession RaystreamSession::to_store() const {
  StoredSession stored;
  stored.principal = principal_;
  stored.first_handshake_at = first_handshake_at_;
  const auto silent = std::chrono::floor<std::chrono::milliseconds>(Clock::now() - last_frame_);
  const uint64_t now = unix_ms();
  // A little later than it ends, so that it is not written with each frame.
  uint64_t end = now + ms_of(core().config.raystream.life) + ms_of(RaystreamRecord::slack(*this)) -
                 ms_of(silent);
  end = std::min(end, first_handshake_at_ + ms_of(core().config.raystream.longest_life));
  if (principal_.token_expires_at != 0) end = std::min(end, principal_.token_expires_at);
  stored.expires_at = std::max(end, now);
  if (resuming_) {
    // Those that the client names go on.
    for (const auto& one : resuming_->asked.subscriptions())
      if (resuming_->has(one))
        stored.subscriptions.push_back({static_cast<uint32_t>(one.kind()), one.name()});
  } else if (subscriptions_) {
    for (RaystreamSubscriptions::Entry& one : subscriptions_->list())
      stored.subscriptions.push_back({static_cast<uint32_t>(one.kind), std::move(one.name)});
  }
  return stored;
}

void RaystreamSession::later(UniqueFunction<void()> step) {
  take_turn(shared_from_this(), [this, step = std::move(step)]() mutable {
    if (!is_over()) step();
  });
}

void RaystreamSession::lost_to(uint64_t generation) {
  if (record_.active() && generation > record_.generation()) lost();
}

void RaystreamSession::lost() {
  if (state_ != State::kOpen) return;
  core().raystream_probe.fenced();
  close(ErrorCode::kConflict, "the session goes on over another connection");
}

}  // namespace raymesh::gateway
