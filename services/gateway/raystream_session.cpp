#include "services/gateway/raystream_session.hpp"

#include <algorithm>

#include "libs/net/websocket/frame.hpp"
#include "libs/raystream/plain_frame.hpp"
#include "libs/raystream/session_id.hpp"
#include "libs/telemetry/log.hpp"
#include "services/gateway/core.hpp"
#include "services/gateway/edge_rules.hpp"
#include "services/gateway/raystream_actor.hpp"
#include "services/gateway/raystream_subscriptions.hpp"

namespace raymesh::gateway {

using net::IoResult;
using net::IoState;
using raystream::ErrorCode;
using raystream::FrameType;
namespace websocket = net::websocket;

namespace {

constexpr std::chrono::milliseconds kLingerTime{2'000};
// Reads of one turn, so that one connection does not keep the others waiting.
constexpr int kReadsPerTurn = 4;
// With so much to be sent nothing more is read: who does not read gets no new calls in.
constexpr size_t kBackedUp = 1 << 20;
// Of a stranger, for whom it is counted nowhere.
constexpr size_t kBackedUpStranger = 64 << 10;

}  // namespace

uint64_t RaystreamSession::unix_ms() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

void RaystreamSession::open(Worker& worker, RaystreamOrigin origin) {
  auto session = std::make_shared<RaystreamSession>(worker, std::move(origin));
  session->actor_ = spawn_raystream_actor(worker.core.system, session);
  worker.raystream_sessions.insert(session.get());
  worker.core.open_sessions.fetch_add(1);
  worker.core.raystream_probe.session_opened();
  take_turn(session, [s = session.get()] { s->begin(); });
}

RaystreamSession::RaystreamSession(Worker& worker, RaystreamOrigin origin)
    : worker_(worker),
      stream_(std::move(origin.stream)),
      slot_(std::move(origin.slot)),
      client_(std::move(origin.client)),
      bucket_(address_bucket(client_)),
      local_(origin.local),
      websocket_(origin.websocket),
      handshake_(std::make_unique<raystream::ServerHandshake>()),
      frames_(worker.core.strangers_frames),
      in_(std::move(origin.input)),
      budget_(&worker.core.strangers_frames),
      opened_(Clock::now()) {
  out_.append(origin.greeting);
}

RaystreamSession::~RaystreamSession() = default;

Core& RaystreamSession::core() const {
  return worker_.core;
}

void RaystreamSession::begin() {
  read_at_ = last_frame_ = opened_;
  arm_timer();
  if (!websocket_ && stream_.is_tls()) {
    state_ = State::kTls;
    return tls_handshake();
  }
  if (websocket_ && !in_.empty()) {
    std::string bytes = std::exchange(in_, {});
    take_websocket({bytes.data(), bytes.size()});
  }
  // OpenSSL may have read ahead.
  if (state_ == State::kOpen) read();
}

// --- The connection ------------------------------------------------------------------------------

void RaystreamSession::arm_read() {
  if (read_armed_ || state_ == State::kEnded) return;
  read_armed_ = true;
  stream_.wait_readable([self = shared_from_this()](boost::system::error_code ec) {
    self->read_armed_ = false;
    if (!ec) take_turn(self, [s = self.get()] { s->readable(); });
  });
}

void RaystreamSession::arm_write() {
  if (write_armed_ || state_ == State::kEnded) return;
  write_armed_ = true;
  stream_.wait_writable([self = shared_from_this()](boost::system::error_code ec) {
    self->write_armed_ = false;
    if (!ec) take_turn(self, [s = self.get()] { s->writable(); });
  });
}

void RaystreamSession::readable() {
  switch (state_) {
    case State::kTls:
      return tls_handshake();
    case State::kOpen:
      return read();
    case State::kClosing:
      return discard();
    case State::kEnded:
      return;
  }
}

void RaystreamSession::writable() {
  if (state_ == State::kTls) tls_handshake();
}

void RaystreamSession::tls_handshake() {
  switch (stream_.handshake().state) {
    case IoState::kDone:
      state_ = State::kOpen;
      return read();
    case IoState::kWantRead:
      return arm_read();
    case IoState::kWantWrite:
      return arm_write();
    case IoState::kEnd:
    case IoState::kFailed:
      return drop();
  }
}

size_t RaystreamSession::all_queued() const {
  return out_.size() + queued_ + (subscriptions_ ? subscriptions_->queued() : 0);
}

bool RaystreamSession::is_backed_up() const {
  return all_queued() > (attached_ ? kBackedUp : kBackedUpStranger);
}

void RaystreamSession::read() {
  for (int i = 0; i < kReadsPerTurn; ++i) {
    if (is_backed_up()) {
      readable_ = true;
      return;
    }
    const IoResult r = stream_.read(worker_.scratch.get(), Worker::kScratch);
    switch (r.state) {
      case IoState::kDone: {
        read_at_ = Clock::now();
        const std::span<char> bytes(worker_.scratch.get(), r.bytes);
        websocket_ ? take_websocket(bytes) : take_stream(bytes);
        if (state_ != State::kOpen) return;
        // Less than what fits: nothing more is there. OpenSSL may hold more than it gave.
        if (!stream_.is_tls() && r.bytes < Worker::kScratch) return arm_read();
        break;
      }
      case IoState::kWantRead:
      case IoState::kWantWrite:  // needs a renegotiation, which is off
        return arm_read();
      case IoState::kEnd:
      case IoState::kFailed:
        return drop();
    }
  }
  read_again();
}

// After the others' turns.
void RaystreamSession::read_again() {
  core().threads.post(worker_.index, [self = shared_from_this()] {
    take_turn(self, [s = self.get()] { s->readable(); });
  });
}

// What a client still sends after CLOSE is thrown away, so that the end of the connection does not
// overtake the CLOSE.
void RaystreamSession::discard() {
  for (int i = 0; i < 16; ++i) {
    const IoResult r = stream_.read(worker_.scratch.get(), Worker::kScratch);
    if (r.state == IoState::kWantRead) return arm_read();
    if (r.state != IoState::kDone) return end();
  }
  arm_read();
}

void RaystreamSession::flush() {
  if (state_ == State::kEnded || state_ == State::kTls) return;
  for (;;) {
    pump();
    if (out_.empty()) break;
    const std::string_view bytes = out_.bytes();
    const IoResult r = stream_.write(bytes.data(), bytes.size());
    switch (r.state) {
      case IoState::kDone:
        core().raystream_probe.bytes_sent(r.bytes);
        out_.consumed(r.bytes);
        blocked_since_ = {};
        continue;
      case IoState::kWantWrite:
        if (blocked_since_ == Clock::time_point()) blocked_since_ = Clock::now();
        if (all_queued() > core().config.raystream.max_queued) {
          core().raystream_probe.slow_reader();
          return end();
        }
        return arm_write();
      case IoState::kWantRead:
        return arm_read();
      case IoState::kEnd:
      case IoState::kFailed:
        return drop();
    }
  }
  if (state_ == State::kClosing) {
    if (!std::exchange(end_sent_, true)) stream_.shutdown_send();
    return discard();
  }
  if (std::exchange(readable_, false)) read_again();
}

// Once for many small frames and calls.
void RaystreamSession::report() {
  RaystreamProbe& probe = core().raystream_probe;
  if (frames_in_ + frames_out_ > 0)
    probe.frames(std::exchange(frames_in_, 0), std::exchange(bytes_in_, 0),
                 std::exchange(frames_out_, 0));
  if (worker_.finished_calls.empty()) return;
  const auto now = Clock::now();
  for (const auto& call : worker_.finished_calls)
    probe.call_finished(call.method, call.status, now - call.started);
  worker_.finished_calls.clear();
}

void RaystreamSession::after_turn() {
  flush();
  report();
  if (draining_ && state_ == State::kOpen && calls_.empty()) {
    close(ErrorCode::kServiceUnavailable, "the gateway is stopping: connect anew");
    flush();
  }
}

// --- Frames --------------------------------------------------------------------------------------

raystream::Expected RaystreamSession::expected() const {
  return handshake_ ? raystream::ServerHandshake::expected() : session_.expected();
}

void RaystreamSession::take_stream(std::span<char> bytes) {
  frames_.feed(bytes);
  while (state_ == State::kOpen) {
    const auto next = frames_.next(expected());
    if (next.status == raystream::ParseStatus::kNeedMore) return;
    if (next.status == raystream::ParseStatus::kRefused) return refuse(next.refusal);
    take_frame(next.frame);
  }
}

void RaystreamSession::take_frame(std::span<char> frame) {
  ++frames_in_;
  bytes_in_ += frame.size();
  if (handshake_) return shake_hands(frame);
  raystream::Incoming in;
  const raystream::Refusal refusal = session_.open(frame, in);
  if (refusal) return refuse(refusal);
  last_frame_ = read_at_;
  missed_beats_ = 0;
  if (in.type == FrameType::kClose) {
    core().raystream_probe.closed(ErrorCode::kNone);
    const auto said = raystream::read_close({in.payload.data(), in.payload.size()});
    if (attached_ && is_final(said.code)) record_.forget();
    if (websocket_) out_.append(websocket::close_frame(websocket::close_code::kNormal, {}));
    return begin_closing();
  }
  if (attached_) record_.client_goes_on();
  take_message(in.type, {in.payload.data(), in.payload.size()});
}

void RaystreamSession::shake_hands(std::span<char> frame) {
  const auto now = Clock::now();
  auto& probe = core().raystream_probe;
  handshake_counted_ = true;
  if (!core().raystream_limits.handshake(bucket_, now)) {
    probe.handshake(RaystreamProbe::Handshake::kRateLimited);
    return close(ErrorCode::kRateLimited, "too many handshakes; try again later");
  }
  if (const raystream::Refusal refusal = handshake_->read({frame.data(), frame.size()})) {
    probe.handshake(RaystreamProbe::Handshake::kRefused);
    return refuse(refusal);
  }
  if (!handshake_->resume_id().empty()) return look_up();
  accept();
}

void RaystreamSession::accept() {
  auto& probe = core().raystream_probe;
  raystream::OutgoingBuffer response;
  raystream::Refusal refusal;
  if (resuming_) {
    refusal = accept_resumed(response);
  } else {
    // What cannot be resumed begins anew, under another id.
    first_handshake_at_ = unix_ms();
    const std::string id = raystream::new_session_id(first_handshake_at_);
    const auto life = core().config.raystream.attach_timeout;
    refusal = handshake_->accept(
        *core().raystream_keys, {id, {}, first_handshake_at_ + static_cast<uint64_t>(life.count())},
        response, session_);
  }
  if (refusal) {
    probe.handshake(RaystreamProbe::Handshake::kRefused);
    return refuse(refusal);
  }
  append_message(response.bytes());
  probe.handshake(RaystreamProbe::Handshake::kDone);
  ++frames_out_;
  handshake_.reset();
  shaken_ = last_frame_ = Clock::now();
  arm_timer();
}

// A whole frame that is no session's to seal in place.
void RaystreamSession::append_message(std::string_view frame) {
  if (websocket_) {
    char* header = out_.extend(websocket::server_header_bytes(frame.size()));
    websocket::write_server_header(header, websocket::Opcode::kBinary, frame.size());
  }
  out_.append(frame);
}

bool RaystreamSession::send_frame(FrameType type, std::initializer_list<std::string_view> pieces) {
  size_t bytes = 0;
  for (const std::string_view piece : pieces) bytes += piece.size();
  const bool fits = !session_.closed() && bytes <= session_.max_payload();
  if (fits && websocket_) {
    const size_t size = bytes + raystream::kFrameOverhead;
    char* header = out_.extend(websocket::server_header_bytes(size));
    websocket::write_server_header(header, websocket::Opcode::kBinary, size);
  }
  if (!fits || session_.seal(type, pieces, out_) != raystream::Sent::kOk) {
    // Nobody may read what would come behind a frame that is missing.
    log::error("a raystream frame could not be sent", {{"bytes", bytes}});
    end();
    return false;
  }
  ++frames_out_;
  return true;
}

// --- Times ---------------------------------------------------------------------------------------

void RaystreamSession::on_timeout() {
  take_turn(shared_from_this(), [this] { due(); });
}

void RaystreamSession::arm_timer() {
  const RaystreamConfig& config = core().config.raystream;
  const auto now = Clock::now();
  auto until = config.check_period;
  auto bound = [&](Clock::time_point when) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(when - now);
    until = std::min(until, std::max(left, std::chrono::milliseconds(1)));
  };
  if (state_ == State::kClosing) {
    until = kLingerTime;
  } else if (handshake_) {
    bound(opened_ + config.handshake_timeout);
  } else if (!attached_) {
    bound(shaken_ + config.attach_timeout);
  }
  worker_.wheel.arm(*this, until);
}

void RaystreamSession::due() {
  const auto now = Clock::now();
  const RaystreamConfig& config = core().config.raystream;
  if (state_ == State::kEnded) return;
  if (state_ == State::kClosing) return end();
  // What the last answers needed; the next ones find it again while the session is busy.
  if (out_.empty()) out_.release();
  session_.rest();
  if (!out_.empty() && blocked_since_ != Clock::time_point() &&
      now - blocked_since_ > core().config.write_timeout) {
    core().raystream_probe.slow_reader();
    return end();
  }
  if (handshake_) {
    if (now - opened_ >= config.handshake_timeout) {
      handshake_counted_ = true;
      core().raystream_probe.handshake(RaystreamProbe::Handshake::kTimedOut);
      if (state_ == State::kTls) return end();
      return close(ErrorCode::kTimeout, "no handshake in time");
    }
  } else if (!attached_) {
    if (now - shaken_ >= config.attach_timeout)
      return close(ErrorCode::kTimeout, "not attached in time");
  } else {
    check_lives(now);
  }
  if (state_ == State::kOpen || state_ == State::kTls) arm_timer();
}

}  // namespace raymesh::gateway
