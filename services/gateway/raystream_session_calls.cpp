// The second half of RaystreamSession: what comes in frames, who it is, and how answers go out.
#include <algorithm>

#include "libs/telemetry/log.hpp"
#include "raymesh/auth/v1/auth.pb.h"
#include "raymesh/raystream/v1/raystream.pb.h"
#include "services/gateway/core.hpp"
#include "services/gateway/raystream_actor.hpp"
#include "services/gateway/raystream_error.hpp"
#include "services/gateway/raystream_session.hpp"
#include "services/gateway/raystream_subscriptions.hpp"

namespace raymesh::gateway {

using raystream::ErrorCode;
using raystream::FrameType;

namespace {

// An answer up to this size is one frame, and goes out before pieces of larger ones.
constexpr size_t kPiece = 64 << 10;
// So much is sealed ahead of the socket.
constexpr size_t kSealAhead = 256 << 10;
constexpr int kMaxMissedBeats = 3;
// Calls whose memory a thread keeps, a few KiB each at most.
constexpr size_t kMaxSpentCalls = 128;
constexpr uint8_t kMaxFailedAttaches = 8;
// How often a token is checked with auth while its session lives.
constexpr std::chrono::seconds kTokenCheckPeriod{30};

}  // namespace

void RaystreamSession::take_message(FrameType type, std::string_view payload) {
  switch (type) {
    case FrameType::kRpcCall:
      return take_call(payload);
    case FrameType::kHeartbeat:
      return take_heartbeat(payload);
    case FrameType::kSubscribe:
      return take_subscribe(payload);
    case FrameType::kResume:
      return take_resume(payload);
    default:
      return close(ErrorCode::kInvalidRequest, "a frame that no client sends");
  }
}

void RaystreamSession::take_heartbeat(std::string_view payload) {
  raymesh::raystream::v1::Heartbeat beat;
  if (!beat.ParseFromArray(payload.data(), static_cast<int>(payload.size())))
    return close(ErrorCode::kInvalidRequest, "the payload is no Heartbeat");
  // A new one: what this version does not know is not sent back.
  raymesh::raystream::v1::Heartbeat answer;
  answer.set_timestamp(beat.timestamp());
  answer.set_server_time(unix_ms());
  send_frame(FrameType::kHeartbeat, {answer.SerializeAsString()});
}

void RaystreamSession::take_subscribe(std::string_view payload) {
  raymesh::raystream::v1::Subscribe subscribe;
  if (!subscribe.ParseFromArray(payload.data(), static_cast<int>(payload.size())) ||
      subscribe.call_id() == 0)
    return close(ErrorCode::kInvalidRequest, "the payload is no Subscribe");
  if (calls_.contains(subscribe.call_id()))
    return close(ErrorCode::kInvalidRequest, "the call_id belongs to a call that is open");
  CallFrame frame;
  frame.call_id = subscribe.call_id();
  frame.args = payload;
  const auto call = open_call(frame, &subscribe_method());
  if (!call) return;
  if (Status added = call->add(frame.args, false); !added.ok()) return call->fail(added.error());
  call->start();
}

// --- Calls ---------------------------------------------------------------------------------------

void RaystreamSession::take_call(std::string_view payload) {
  CallFrame frame;
  if (!parse_call(payload, frame) || frame.call_id == 0)
    return close(ErrorCode::kInvalidRequest, "the payload is no RpcCall");
  std::shared_ptr<RaystreamCall> call;
  const auto open = calls_.find(frame.call_id);
  if (open != calls_.end()) {
    call = open->second;
    if (call->complete())
      return close(ErrorCode::kInvalidRequest, "the call_id belongs to a call that is open");
  } else {
    // More of a call that has been refused already.
    if (frame.method.empty()) return;
    call = open_call(frame, find_raystream_method(frame.method));
    if (!call) return;
  }
  if (Status added = call->add(frame.args, frame.more); !added.ok())
    return call->fail(added.error());
  if (!frame.more) call->start();
}

/// nullptr: it has been refused.
std::shared_ptr<RaystreamCall> RaystreamSession::open_call(const CallFrame& frame,
                                                           const RaystreamMethod* method) {
  const auto most = attached_ ? static_cast<size_t>(core().config.raystream.max_calls)
                              : static_cast<size_t>(raystream::kMaxUnattachedCalls);
  if (draining_) {
    refuse_call(frame.call_id, method,
                Error(errors::kOverloaded, "the gateway is stopping: connect anew",
                      std::chrono::seconds(1)));
    return nullptr;
  }
  if (calls_.size() >= most) {
    refuse_call(
        frame.call_id, method,
        Error(errors::kRateLimited,
              "the session has " + std::to_string(most) + " open calls, the most that it may have",
              std::chrono::milliseconds(100)));
    return nullptr;
  }
  std::shared_ptr<RaystreamCall> call = place_call(frame.call_id);
  call->open(*this, frame, method);
  if (const auto refusal = call->refusal(frame)) {
    call->fail(*refusal);
    return nullptr;
  }
  return call;
}

// A place in the table and a call without a request, if possible those of one that is answered.
std::shared_ptr<RaystreamCall> RaystreamSession::place_call(uint64_t id) {
  auto& spent = worker_.spent_calls;
  if (!spent.empty()) {
    RaystreamCalls::node_type node = std::move(spent.back());
    spent.pop_back();
    // Somebody who waited for it may hold it still.
    if (node.mapped().use_count() == 1) {
      node.key() = id;
      node.mapped()->reset();
      return calls_.insert(std::move(node)).position->second;
    }
  }
  return calls_.emplace(id, std::make_shared<RaystreamCall>()).first->second;
}

void RaystreamSession::refuse_call(uint64_t id, const RaystreamMethod* method, const Error& error) {
  core().raystream_probe.call_finished(method, error.http_status(), std::chrono::nanoseconds(0));
  send_frame(FrameType::kRpcError, {rpc_error(id, error)});
}

void RaystreamSession::answered(const std::shared_ptr<RaystreamCall>& call) {
  take_turn(shared_from_this(), [this, call] {
    if (state_ == State::kOpen && !call->answered()) call->take_result();
  });
}

void RaystreamSession::resumed(const std::shared_ptr<RaystreamCall>& call) {
  take_turn(shared_from_this(), [this, call] {
    if (state_ == State::kOpen && !call->answered()) call->resumed();
  });
}

void RaystreamSession::answer(RaystreamCall& call) {
  if (state_ != State::kOpen) return;
  if (call.method() == &subscribe_method() && subscriptions().hold_answer(call)) return;
  const std::string_view result = call.unsent();
  if (result.size() <= kPiece && out_.size() <= kSealAhead) {
    send_answer(call);
    return;
  }
  const size_t bytes = result.size();
  const size_t all = core().result_memory.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (all > core().config.raystream.max_result_memory) {
    core().result_memory.fetch_sub(bytes, std::memory_order_relaxed);
    return answer_error(
        call, Error(errors::kOverloaded, "too many large results wait to be sent; try again",
                    std::chrono::seconds(1)));
  }
  queued_ += bytes;
  sending_.push_back(call.shared_from_this());
}

bool RaystreamSession::send_answer(RaystreamCall& call) {
  const std::string_view result = call.unsent();
  const auto head =
      rpc_response_head(call.id(), static_cast<uint32_t>(call.status()), result.size());
  if (!send_frame(FrameType::kRpcResponse, {head.view(), result})) return false;
  call.sent(result.size());
  finish(call);
  return true;
}

// Takes events, and a piece of each large answer in turn, as long as the socket keeps up.
void RaystreamSession::pump() {
  if (subscriptions_ && state_ == State::kOpen) subscriptions_->pump();
  while (state_ == State::kOpen && !sending_.empty() && out_.size() < kSealAhead) {
    const std::shared_ptr<RaystreamCall> call = std::move(sending_.front());
    sending_.pop_front();
    const std::string_view piece = call->unsent().substr(0, kPiece);
    const bool last = piece.size() == call->unsent().size();
    const auto head = rpc_response_head(
        call->id(), call->is_first_piece() ? static_cast<uint32_t>(call->status()) : 0,
        piece.size());
    if (!send_frame(FrameType::kRpcResponse,
                    {head.view(), piece, last ? std::string_view() : kMoreFollows}))
      return;
    call->sent(piece.size());
    queued_ -= piece.size();
    core().result_memory.fetch_sub(piece.size(), std::memory_order_relaxed);
    if (last)
      finish(*call);
    else
      sending_.push_back(call);
  }
}

void RaystreamSession::answer_error(RaystreamCall& call, const Error& error) {
  if (state_ != State::kOpen) return;
  if (send_frame(FrameType::kRpcError, {rpc_error(call.id(), error)})) finish(call);
}

// The answer is sealed: the id is free again.
void RaystreamSession::finish(RaystreamCall& call) {
  worker_.finished_calls.push_back({call.method(), call.status(), call.started()});
  if (core().config.access_log && call.is_logged() && log::enabled(log::Level::kInfo))
    log::write(
        log::Level::kInfo,
        {.project = principal_.project,
         .trace_id = call.trace_id(),
         .request_id = call.request_id()},
        "call",
        {{"method", call.method() ? call.method()->name : std::string_view("none")},
         {"status", call.status()},
         {"us", std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - call.started())
                    .count()},
         {"in", call.args_bytes()},
         {"session", session_.id()},
         {"client", client_}});
  RaystreamCalls::node_type node = calls_.extract(call.id());
  call.spent();
  if (worker_.spent_calls.size() < kMaxSpentCalls) worker_.spent_calls.push_back(std::move(node));
}

// --- Subscriptions -------------------------------------------------------------------------------

RaystreamSubscriptions& RaystreamSession::subscriptions() {
  if (subscriptions_) return *subscriptions_;
  subscriptions_ = std::make_unique<RaystreamSubscriptions>(*this);
  subscriptions_->set_store([this](UniqueFunction<void(Status)> stored) {
    if (!record_.active()) return stored(ok_status());
    record_.save([stored = std::move(stored)](RaystreamRecord::Saved saved) mutable {
      // What could not be written is written later (ADR 46). Who has lost the session acknowledges
      // nothing any more.
      if (saved != RaystreamRecord::Saved::kLost) stored(ok_status());
    });
  });
  return *subscriptions_;
}

int64_t RaystreamSession::max_subscriptions() const {
  return core().config.raystream.max_subscriptions;
}

bool RaystreamSession::has_room() const {
  return out_.size() <= kSealAhead;
}

bool RaystreamSession::send_event(std::string_view payload) {
  return state_ == State::kOpen && send_frame(FrameType::kEvent, {payload});
}

void RaystreamSession::too_slow() {
  if (state_ == State::kEnded) return;
  core().raystream_probe.slow_reader();
  end();
}

// --- Who it is -----------------------------------------------------------------------------------

bool RaystreamSession::begin_attach() {
  if (attached_ || attaching_) return false;
  attaching_ = true;
  return true;
}

// Guessing keys and tokens costs a handshake for some of them.
void RaystreamSession::attach_failed() {
  attaching_ = false;
  if (++failed_attaches_ >= kMaxFailedAttaches)
    close(ErrorCode::kUnauthorized, "too many attempts to attach");
}

uint64_t RaystreamSession::prepare_attach(RaystreamPrincipal principal) {
  principal_ = std::move(principal);
  return ends_at(unix_ms());
}

void RaystreamSession::attached() {
  if (state_ != State::kOpen) return;
  session_.attached();
  attaching_ = false;
  attached_ = true;
  token_checked_ = Clock::now();
  core().raystream_limits.attached(bucket_);
  core().raystream_probe.session_attached();
  // What it has of an incomplete frame now is little.
  const bool moved = frames_.move_to(core().frames);
  const size_t held = held_;
  hold(0);
  budget_ = &core().frames;
  if (!moved || !hold(held))
    return close(ErrorCode::kServiceUnavailable, "too many bytes of incomplete frames");
  arm_timer();
}

void RaystreamSession::token_revoked() {
  close(ErrorCode::kUnauthorized, "the access token is not valid any more");
}

void RaystreamSession::key_revoked() {
  close(ErrorCode::kUnauthorized, "the API key has been revoked");
}

void RaystreamSession::check_lives(Clock::time_point now) {
  const RaystreamConfig& config = core().config.raystream;
  const auto longest = static_cast<uint64_t>(config.longest_life.count());
  if (unix_ms() >= first_handshake_at_ + longest || now - last_frame_ >= config.life)
    return close(ErrorCode::kSessionExpired, "the session's life is over");
  if (principal_.token_expires_at != 0 && unix_ms() >= principal_.token_expires_at)
    return close(ErrorCode::kUnauthorized, "the access token has expired");
  const auto missed = (now - last_frame_) / config.heartbeat;
  if (missed > missed_beats_) {
    missed_beats_ = static_cast<uint8_t>(std::min<int64_t>(missed, 255));
    core().raystream_probe.heartbeat_missed();
    if (missed_beats_ >= kMaxMissedBeats) return close(ErrorCode::kSessionExpired, "no heartbeat");
    if (missed_beats_ == 1)
      log::info("a raystream client has missed a heartbeat",
                {{"session", session_.id()}, {"client", client_}});
  }
  expire_pieces(now);
  record_.check(last_frame_);
  check_key(now);
  if (state_ == State::kOpen && now - token_checked_ >= kTokenCheckPeriod) check_token(now);
}

// A session that says nothing ends with its key all the same.
void RaystreamSession::check_key(Clock::time_point now) {
  if (checking_key_) return;
  KeyInfoPtr key;
  switch (worker_.keys.find_hash(principal_.key_hash, key, now)) {
    case KeyResolver::State::kKnown:
      return;
    case KeyResolver::State::kUnknown:
      return key_revoked();
    case KeyResolver::State::kAsked:
      break;
  }
  checking_key_ = true;
  // The next check finds the answer in the cache.
  worker_.keys.wait(
      [self = shared_from_this()](const KeyResolver::Answer&) { self->checking_key_ = false; });
}

void RaystreamSession::check_token(Clock::time_point now) {
  if (checking_token_ || principal_.access_token.empty()) return;
  token_checked_ = now;
  checking_token_ = true;
  verify_token(principal_, [this](const Result<auth::v1::VerifyTokenReply>& reply) {
    checking_token_ = false;
    // When auth is away the token stays good until its expiry.
    if (reply.ok() && !reply->valid()) token_revoked();
  });
}

void RaystreamSession::verify_token(
    const RaystreamPrincipal& principal,
    UniqueFunction<void(const Result<auth::v1::VerifyTokenReply>&)> done) {
  auth::v1::VerifyTokenRequest request;
  request.set_access_token(principal.access_token);
  common::v1::CallContext context;
  context.set_project(principal.project);
  rpc::CallOptions options;
  options.timeout = core().config.call_timeout;
  options.repeat = rpc::Repeat::kSafe;
  core().calls.fetch_add(1, std::memory_order_relaxed);
  core().peers.auth->call<auth::v1::VerifyTokenReply>(
      "VerifyToken", context, request, options,
      [self = shared_from_this(),
       done = std::move(done)](Result<auth::v1::VerifyTokenReply> reply) mutable {
        Core& all = self->core();
        const size_t thread = self->worker_.index;
        all.threads.post(thread, [session = std::move(self), done = std::move(done),
                                  reply = std::move(reply)]() mutable {
          session->core().calls.fetch_sub(1, std::memory_order_relaxed);
          session->later(
              [done = std::move(done), reply = std::move(reply)]() mutable { done(reply); });
        });
      });
}

// Who begins calls and never ends them holds memory that others need.
void RaystreamSession::expire_pieces(Clock::time_point now) {
  std::shared_ptr<RaystreamCall> late;
  do {
    late = nullptr;
    for (auto& [id, call] : calls_)
      if (!call->complete() && now - call->begun() >= core().config.body_timeout) late = call;
    if (late) late->fail(Error(errors::kRequestTimeout, "the arguments were sent too slowly"));
  } while (late && state_ == State::kOpen);
}

}  // namespace raymesh::gateway
