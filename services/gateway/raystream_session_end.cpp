// The part of RaystreamSession that ends it: refusals, CLOSE, a connection that breaks, a gateway
// that stops.
#include "libs/net/websocket/frame.hpp"
#include "libs/raystream/plain_frame.hpp"
#include "libs/telemetry/log.hpp"
#include "services/gateway/core.hpp"
#include "services/gateway/raystream_actor.hpp"
#include "services/gateway/raystream_session.hpp"
#include "services/gateway/raystream_subscriptions.hpp"

namespace raymesh::gateway {

using raystream::ErrorCode;
namespace websocket = net::websocket;

namespace {

uint16_t websocket_code_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kNone:
      return websocket::close_code::kNormal;
    case ErrorCode::kServiceUnavailable:
      return websocket::close_code::kServiceRestart;
    case ErrorCode::kInternalError:
      return websocket::close_code::kInternalError;
    default:
      return websocket::close_code::kPolicyViolation;
  }
}

}  // namespace

bool RaystreamSession::is_final(ErrorCode code) {
  return code == ErrorCode::kNone || code == ErrorCode::kUnauthorized ||
         code == ErrorCode::kForbidden || code == ErrorCode::kSessionExpired;
}

void RaystreamSession::refuse(const raystream::Refusal& refusal) {
  if (refusal.code == ErrorCode::kDecryptionFailed) core().raystream_probe.decrypt_failed();
  close(refusal.code, refusal.why);
}

void RaystreamSession::close(ErrorCode code, std::string_view reason, uint16_t websocket_code) {
  if (state_ != State::kOpen) return;
  if (attached_ && is_final(code)) record_.forget();
  raystream::OutgoingBuffer frame;
  if (handshake_)
    raystream::append_plain_close(code, reason, frame);
  else
    session_.close(code, reason, frame);
  if (!frame.empty()) append_message(frame.bytes());
  if (websocket_)
    out_.append(websocket::close_frame(
        websocket_code != 0 ? websocket_code : websocket_code_of(code), reason));
  core().raystream_probe.closed(code);
  begin_closing();
}

void RaystreamSession::begin_closing() {
  if (state_ == State::kEnded) return;
  state_ = State::kClosing;
  record_.leave();
  resuming_.reset();
  session_.drop();
  if (subscriptions_) subscriptions_->clear();
  for (auto& [id, call] : calls_) call->abandon();
  calls_.clear();
  sending_.clear();
  core().result_memory.fetch_sub(queued_, std::memory_order_relaxed);
  queued_ = 0;
  arm_timer();
}

// The connection broke, or its end came without CLOSE.
void RaystreamSession::drop() {
  if (state_ == State::kOpen || state_ == State::kTls) core().raystream_probe.dropped();
  end();
}

void RaystreamSession::drain() {
  draining_ = true;
}

void RaystreamSession::abort() {
  if (state_ == State::kOpen) {
    close(ErrorCode::kServiceUnavailable, "the gateway is stopping: connect anew");
    flush();
  }
  end();
}

void RaystreamSession::failed() {
  if (state_ == State::kEnded) return;
  core().raystream_probe.actor_failed();
  log::error("a raystream session's actor has died", {{"client", client_}});
  end();
}

void RaystreamSession::end() {
  if (state_ == State::kEnded) return;
  auto self = shared_from_this();
  begin_closing();
  state_ = State::kEnded;
  if (handshake_ && !handshake_counted_)
    core().raystream_probe.handshake(RaystreamProbe::Handshake::kDropped);
  disarm();
  stream_.close();
  hold(0);
  worker_.raystream_sessions.erase(this);
  core().raystream_limits.closed(bucket_, attached_);
  core().raystream_probe.session_closed(attached_);
  core().probe.connection_closed();
  core().open_sessions.fetch_sub(1);
  slot_.release();
  // It may end in a turn, of which its actor then has to be told.
  release_raystream_actor(std::exchange(actor_, nullptr));
}

}  // namespace raymesh::gateway
