#include "services/gateway/http_session.hpp"

#include "libs/telemetry/log.hpp"
#include "services/gateway/core.hpp"
#include "services/gateway/edge_rules.hpp"

namespace raymesh::gateway {

using net::IoResult;
using net::IoState;
using Clock = HttpExchange::Clock;

namespace {

constexpr std::chrono::milliseconds kLingerTime{2'000};

}  // namespace

HttpSession::HttpSession(Worker& worker, net::Accepted accepted)
    : worker_(worker),
      stream_(std::move(accepted.socket), worker.core.tls.get()),
      slot_(std::move(accepted.slot)),
      address_(address_text(accepted.peer.address())) {}

HttpSession::~HttpSession() {
  if (worker_.head_of == this) worker_.head_of = nullptr;
}

Core& HttpSession::core() const {
  return worker_.core;
}

void HttpSession::start() {
  worker_.sessions.insert(this);
  core().open_sessions.fetch_add(1);
  core().probe.connection_opened();
  counted_ = true;
  arm(Waiting::kHead);
  if (stream_.is_tls()) {
    state_ = State::kHandshake;
    handshake();
  } else {
    arm_read();
  }
}

void HttpSession::close_when_idle() {
  if (!exchange_) close();
}

void HttpSession::abort() {
  if (state_ != State::kClosed) close();
}

// --- Socket events ---------------------------------------------------------------------------

void HttpSession::arm_read() {
  if (read_armed_ || state_ == State::kClosed) return;
  read_armed_ = true;
  stream_.wait_readable([self = shared_from_this()](boost::system::error_code ec) {
    self->read_armed_ = false;
    if (self->state_ == State::kClosed) return;
    if (ec)
      self->close();
    else
      self->on_readable();
  });
}

void HttpSession::on_readable() {
  switch (state_) {
    case State::kHandshake:
      return handshake();
    case State::kLinger:
      return linger();
    case State::kClosed:
      return;
    case State::kOpen:
      break;
  }
  if (wants_input()) return read();
  if (exchange_->stage_ == HttpExchange::Stage::kAnswer) {
    // Perhaps what TLS needed to go on writing, perhaps the next request.
    readable_ = true;
    if (!write_armed_) resume();
  } else if (stream_.at_end()) {
    core().probe.client_left();
    close();
  } else {
    readable_ = true;  // the next request: looked at when this one is answered
  }
}

void HttpSession::on_writable() {
  write_armed_ = false;
  if (state_ == State::kHandshake)
    handshake();
  else if (state_ == State::kOpen)
    resume();
}

void HttpSession::handshake() {
  const IoResult r = stream_.handshake();
  switch (r.state) {
    case IoState::kDone:
      state_ = State::kOpen;
      readable_ = true;  // OpenSSL may have read ahead
      return read();
    case IoState::kWantRead:
      return arm_read();
    case IoState::kWantWrite:
      write_armed_ = true;
      stream_.wait_writable([self = shared_from_this()](boost::system::error_code ec) {
        if (!ec) self->on_writable();
      });
      return;
    case IoState::kEnd:
    case IoState::kFailed:
      return close();
  }
}

void HttpSession::read() {
  for (;;) {
    const IoResult r = stream_.read(worker_.scratch.get(), Worker::kScratch);
    switch (r.state) {
      case IoState::kDone:
        readable_ = stream_.is_tls() || r.bytes == Worker::kScratch;
        fresh_ = {worker_.scratch.get(), r.bytes};
        advance();
        fresh_ = {};
        break;
      case IoState::kWantRead:
      case IoState::kWantWrite:  // needs a renegotiation, which is off
        readable_ = false;
        return arm_read();
      case IoState::kEnd:
      case IoState::kFailed:
        if (exchange_) core().probe.client_left();
        return close();
    }
    if (state_ != State::kOpen) return;
    if (!readable_) return arm_read();
    if (!wants_input()) return;
  }
}

void HttpSession::linger() {
  // What the client still sends is thrown away, so that closing does not reset the connection
  // before it has read our answer (RFC 9112 section 9.6).
  for (int i = 0; i < 16; ++i) {
    const IoResult r = stream_.read(worker_.scratch.get(), Worker::kScratch);
    if (r.state == IoState::kWantRead) return arm_read();
    if (r.state != IoState::kDone) return close();
  }
  arm_read();
}

void HttpSession::arm(Waiting what) {
  if (waiting_for_ == what && armed()) return;
  waiting_for_ = what;
  const Config& config = core().config;
  switch (what) {
    case Waiting::kNothing:
      return disarm();
    case Waiting::kIdle:
      return worker_.wheel.arm(*this, config.idle_timeout);
    case Waiting::kHead:
      return worker_.wheel.arm(*this, config.header_timeout);
    case Waiting::kBody:
      return worker_.wheel.arm(*this, config.body_timeout);
    case Waiting::kWrite:
      return worker_.wheel.arm(*this, config.write_timeout);
    case Waiting::kLinger:
      return worker_.wheel.arm(*this, kLingerTime);
  }
}

void HttpSession::on_timeout() {
  auto self = shared_from_this();
  if (state_ == State::kOpen && exchange_ &&
      (waiting_for_ == Waiting::kHead || waiting_for_ == Waiting::kBody)) {
    core().probe.client_timed_out();
    HttpExchange& ex = *exchange_;
    refuse(ex, Error(errors::kRequestTimeout, "the request was sent too slowly"));
    return resume();
  }
  if (waiting_for_ == Waiting::kWrite || state_ == State::kHandshake)
    core().probe.client_timed_out();
  close();
}

bool HttpSession::wants_input() const {
  return !exchange_ || (exchange_->stage_ <= HttpExchange::Stage::kBody && !exchange_->waiting_);
}

// --- The bytes that were read ----------------------------------------------------------------

std::string_view HttpSession::input(HttpExchange& ex) {
  if (ex.in_.empty()) return fresh_;
  if (!fresh_.empty()) keep_input(ex);
  return ex.in_;
}

void HttpSession::keep_input(HttpExchange& ex) {
  if (fresh_.empty()) return;
  ex.in_.append(fresh_);
  fresh_ = {};
  if (worker_.head_of == this) worker_.head_of = nullptr;
}

void HttpSession::drop_input(HttpExchange& ex, size_t bytes) {
  if (ex.in_.empty())
    fresh_.remove_prefix(bytes);
  else
    ex.in_.erase(0, bytes);
  if (worker_.head_of == this) worker_.head_of = nullptr;
}

// The worker's head may have served others since this request was parsed.
void HttpSession::need_head(HttpExchange& ex) {
  if (worker_.head_of == this) return;
  worker_.parser.parse(ex.in_.empty() ? fresh_ : std::string_view(ex.in_), worker_.head);
  worker_.head_of = this;
}

// --- Calls -----------------------------------------------------------------------------------

void HttpSession::call(rpc::Peer& peer, std::string_view method, std::string payload,
                       const rpc::CallOptions& options) {
  core().calls.fetch_add(1, std::memory_order_relaxed);
  exchange_->ticket_ = peer.call(method, exchange_->context, std::move(payload), options,
                                 [self = shared_from_this()](Result<std::string> result) mutable {
                                   // A gRPC thread: the exchange is the call's until the task below
                                   // has run.
                                   self->exchange_->result_.emplace(std::move(result));
                                   Core& core = self->core();
                                   const size_t thread = self->worker_.index;
                                   core.threads.post(thread, [session = std::move(self)] {
                                     session->core().calls.fetch_sub(1, std::memory_order_relaxed);
                                     session->take_result(std::move(*session->exchange_->result_));
                                   });
                                 });
}

void HttpSession::take_result(Result<std::string> result) {
  HttpExchange& ex = *exchange_;
  ex.waiting_ = false;
  ex.ticket_ = 0;
  ex.result_.reset();
  if (state_ == State::kClosed) return release_exchange();
  ex.next_(ex, std::move(result));
  if (ex.waiting_) return;
  if (!ex.answered()) ex.fail(Error(errors::kInternal, "the handler gave no answer"));
  ex.stage_ = HttpExchange::Stage::kAnswer;
  resume();
}

void HttpSession::release_exchange() {
  if (!exchange_) return;
  core().body_memory.fetch_sub(exchange_->reserved_, std::memory_order_relaxed);
  worker_.give_back(std::move(exchange_));
}

void HttpSession::close() {
  auto self = shared_from_this();
  state_ = State::kClosed;
  disarm();
  stream_.close();
  worker_.sessions.erase(this);
  if (std::exchange(counted_, false)) {
    core().probe.connection_closed();
    core().open_sessions.fetch_sub(1);
    slot_.release();
  }
  if (!exchange_) return;
  HttpExchange& ex = *exchange_;
  if (ex.begun_) {
    // Closed before its answer was out: 499, as the access log of other servers has it.
    if (!ex.answered()) ex.status_ = errors::kCancelled.http_status;
    finish(ex);
  }
  if (ex.waiting_ && ex.stage_ == HttpExchange::Stage::kHandler) {
    // The call still owns the exchange; its completion lets go of it.
    ex.peer_->cancel(ex.ticket_);
  } else if (!ex.waiting_) {
    release_exchange();
  }
}

}  // namespace raymesh::gateway
