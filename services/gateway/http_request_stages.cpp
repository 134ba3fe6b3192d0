// The second half of HttpSession: how a request goes from its first byte to its answer's last.
#include <algorithm>
#include <utility>

#include "libs/base/json_writer.hpp"
#include "libs/net/websocket/upgrade.hpp"
#include "libs/telemetry/log.hpp"
#include "services/gateway/core.hpp"
#include "services/gateway/edge_rules.hpp"
#include "services/gateway/http_session.hpp"
#include "services/gateway/raystream_session.hpp"
#include "services/gateway/request_id.hpp"

namespace raymesh::gateway {

using net::HeadState;
using net::IoResult;
using net::IoState;
using Stage = HttpExchange::Stage;
using Clock = HttpExchange::Clock;

namespace {

constexpr std::string_view kApi = "/api/v1/";
constexpr std::string_view kRaystreamPath = "/raystream";
constexpr std::string_view kDevice = "/api/v1/auth/device/";
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
// Bodies up to this size come out of the session's normal buffers; larger ones are reserved.
constexpr uint64_t kUnreservedBody = 64 << 10;

// A client chooses these texts, so a log line takes no more of them.
constexpr size_t kLoggedMethod = 32;
constexpr size_t kLoggedPath = 512;

Error too_large(uint64_t limit) {
  return Error(errors::kBodyTooLarge,
               "the body is above the limit of " + std::to_string(limit) + " bytes");
}

}  // namespace

// Runs the stages until one has to wait, for bytes, a service or the socket.
void HttpSession::advance() {
  while (state_ == State::kOpen) {
    if (!exchange_) {
      if (fresh_.empty()) return arm(Waiting::kIdle);
      exchange_ = worker_.take_exchange();
      exchange_->session_ = this;
      exchange_->worker_ = &worker_;
    }
    HttpExchange& ex = *exchange_;
    bool go_on = false;
    switch (ex.stage_) {
      case Stage::kHead:
        go_on = read_head(ex);
        break;
      case Stage::kGate:
        go_on = pass_gate(ex);
        break;
      case Stage::kBody:
        go_on = read_body(ex);
        break;
      case Stage::kHandler:
        go_on = run_handler(ex);
        break;
      case Stage::kAnswer:
        go_on = send_answer(ex);
        break;
    }
    if (!go_on) return;
  }
}

// Goes on after something other than a read has happened.
void HttpSession::resume() {
  advance();
  if (state_ != State::kOpen) return;
  if (wants_input() && readable_)
    read();
  else if (!readable_)
    arm_read();
}

bool HttpSession::read_head(HttpExchange& ex) {
  const std::string_view data = input(ex);
  if (data.empty()) {
    release_exchange();
    return true;
  }
  const HeadState state = worker_.parser.parse(data, worker_.head);
  worker_.head_of = state == HeadState::kComplete ? this : nullptr;
  if (state == HeadState::kNeedMore) {
    keep_input(ex);
    arm(Waiting::kHead);
    return false;
  }
  arm(Waiting::kNothing);
  if (state == HeadState::kComplete) {
    begin(ex);
    ex.stage_ = Stage::kGate;
    return true;
  }
  core().probe.request_malformed();
  if (state == HeadState::kTooLarge)
    refuse(ex, Error(errors::kHeadersTooLarge, "the headers are above the limit"));
  else
    refuse(ex, Error(errors::kMalformedHttp, std::string(worker_.parser.reason())));
  return true;
}

void HttpSession::split_target(HttpExchange& ex) {
  std::string_view target = worker_.head.target;
  // The absolute form, which a proxy may send (RFC 9112 section 3.2.2).
  if (!target.empty() && target.front() != '/') {
    if (const size_t scheme = target.find("://"); scheme != std::string_view::npos) {
      const size_t slash = target.find('/', scheme + 3);
      target = slash == std::string_view::npos ? "/" : target.substr(slash);
    }
  }
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  ex.query_ = question == std::string_view::npos ? std::string_view{} : target.substr(question + 1);
  if (!ex.begun_) ex.path_.assign(target.substr(0, question));
}

void HttpSession::begin(HttpExchange& ex) {
  const net::RequestHead& head = worker_.head;
  ex.started_ = Clock::now();
  ex.head_size_ = head.size;
  ex.body_size_ = head.content_length;
  ex.chunked_ = head.chunked;
  ex.head_request_ = head.method == "HEAD";
  ex.close_ = !head.keep_alive;
  ex.expects_continue_ = head.expect_continue;
  ex.method_.assign(head.method);
  split_target(ex);
  ex.begun_ = true;
  core().probe.request_started();

  const auto incoming = TraceContext::parse(head.field("traceparent"));
  ex.trace_ = incoming ? incoming->child() : TraceContext::start();
  const std::string_view id = head.field("X-Request-Id");
  if (is_acceptable_request_id(id))
    ex.request_id_.assign(id);
  else
    append_request_id(ex.request_id_);
  if (core().config.trusted_proxy_hops > 0)
    ex.client_ =
        client_address(head, address_, static_cast<size_t>(core().config.trusted_proxy_hops));
  else
    ex.client_.assign(address_);

  ex.context.set_traceparent(ex.trace_.to_string());
  ex.context.set_request_id(ex.request_id_);
  ex.context.set_client_address(ex.client_);
}

// Answers with an error after which the connection cannot go on: what follows is not understood,
// or not wanted.
void HttpSession::refuse(HttpExchange& ex, const Error& error) {
  ex.close_ = ex.linger_ = true;
  ex.fail(error);
  ex.stage_ = Stage::kAnswer;
}

// An answer before the body was read: when all of it has come it is skipped, else the connection
// ends, because reading a body just to throw it away would invite senders of large ones.
void HttpSession::close_unless_body_is_here(HttpExchange& ex) {
  const size_t here = input(ex).size();
  if (ex.chunked_ || here - ex.head_size_ < ex.body_size_) {
    ex.close_ = ex.linger_ = true;
    return;
  }
  drop_input(ex, ex.head_size_ + static_cast<size_t>(ex.body_size_));
}

bool HttpSession::pass_gate(HttpExchange& ex) {
  need_head(ex);
  auto answer = [&](auto&& reply) {
    close_unless_body_is_here(ex);
    reply();
    ex.stage_ = Stage::kAnswer;
    return true;
  };
  auto fail = [&](const Error& error) { return answer([&] { ex.fail(error); }); };

  const std::string_view path = ex.path_;
  if (path == kRaystreamPath) return open_raystream(ex);
  if (ex.method_ == "OPTIONS") return answer([&] { ex.reply(204, {}); });
  if (!path.starts_with(kApi)) {
    if (path != "/") return fail(Error(errors::kNotFound, "Not found"));
    if (ex.method_ != "GET" && ex.method_ != "HEAD")
      return answer([&] { ex.fail_method("GET, HEAD"); });
    return answer([&] { ex.reply(200, R"({"service":"raymesh","ok":true})"); });
  }
  // The device flow is how a program gets its first credential, so it brings none.
  if (!path.starts_with(kDevice)) {
    if (!find_key(ex)) return false;
    if (ex.key_error_) return fail(*ex.key_error_);
    if (ex.key_->development && !is_local_request(worker_.head))
      return fail(Error(errors::kForbiddenOrigin,
                        "the development key works only with a loopback Host and Origin"));
    if (core().config.rate_limits && !within_rate(ex)) return false;
    if (ex.key_error_) return fail(*ex.key_error_);
    ex.context.set_project(ex.key_->project_id);
  }

  RouteMatch match = find_route(ex.method_, path);
  if (!match.route) {
    if (!match.allowed.empty()) return answer([&] { ex.fail_method(match.allowed); });
    return fail(Error(errors::kUnknownEndpoint, "Unknown endpoint"));
  }
  if (!may_use(*match.route, ex.key_.get())) return fail(lacks_capability(*match.route));
  // Rather none than one that a client relies on and that is not kept. PUT and DELETE need none.
  if (!match.route->keeps_key && match.route->method == "POST" && !ex.idempotency_key().empty())
    return fail(Error(errors::kIdempotencyUnsupported,
                      std::string(errors::kIdempotencyUnsupported.meaning)));
  ex.route_ = match.route;
  ex.rest_ = match.rest;
  ex.max_body_ = body_limit(*match.route, core().config);
  if (ex.body_size_ > ex.max_body_) return fail(too_large(ex.max_body_));
  ex.stage_ = Stage::kBody;
  return true;
}

// The connection becomes that of a raystream session.
bool HttpSession::open_raystream(HttpExchange& ex) {
  auto fail = [&](const Error& error) {
    close_unless_body_is_here(ex);
    ex.fail(error);
    ex.stage_ = Stage::kAnswer;
    return true;
  };
  if (!core().raystream_keys)
    return fail(Error(errors::kNotFound,
                      "raystream is off: this gateway has no signing keys (--raystream-keys)"));
  if (core().draining.load(std::memory_order_relaxed))
    return fail(Error(errors::kOverloaded, "the gateway is stopping", std::chrono::seconds(1)));
  const auto upgrade = net::websocket::parse_upgrade(input(ex).substr(0, ex.head_size_));
  if (!upgrade.ok()) return fail(upgrade.error());
  if (!upgrade->is_upgrade || upgrade->version != 13 || upgrade->key.empty() || upgrade->has_body)
    return fail(Error(errors::kInvalidRequest,
                      "this path takes WebSockets (RFC 6455, version 13) and nothing else"));
  if (!core().raystream_limits.open(address_bucket(ex.client_))) {
    core().raystream_probe.handshake(RaystreamProbe::Handshake::kTooMany);
    return fail(Error(errors::kOverloaded, "there are too many raystream sessions; try again",
                      std::chrono::seconds(1)));
  }
  RaystreamOrigin origin{std::move(stream_),
                         std::move(slot_),
                         ex.client_,
                         is_local_request(worker_.head),
                         true,
                         net::websocket::accept_response(upgrade->key),
                         std::string(input(ex).substr(ex.head_size_))};
  ex.status_ = 101;
  finish(ex);
  release_exchange();
  fresh_ = {};
  state_ = State::kClosed;
  disarm();
  worker_.sessions.erase(this);
  counted_ = false;  // it is the session's connection now
  core().open_sessions.fetch_sub(1);
  RaystreamSession::open(worker_, std::move(origin));
  return false;
}

// False: waits for auth. Sets key_ or key_error_.
bool HttpSession::find_key(HttpExchange& ex) {
  if (ex.key_ || ex.key_answered_) return true;
  const std::string_view key = bearer_key(worker_.head.field("Authorization"));
  if (key.empty()) {
    ex.key_error_ =
        Error(errors::kMissingApiKey, "Missing API key. Send it as: Authorization: Bearer <key>");
    return true;
  }
  const Error unknown(errors::kInvalidApiKey, "The API key is unknown or revoked");
  auto state = KeyResolver::State::kUnknown;
  if (key.starts_with("dc_")) state = worker_.keys.find(key, ex.key_, ex.started_);
  if (state == KeyResolver::State::kKnown) return true;
  if (state == KeyResolver::State::kUnknown) {
    ex.key_error_ = unknown;
    return true;
  }
  keep_input(ex);
  ex.waiting_ = true;
  worker_.keys.wait([self = shared_from_this(), unknown](const KeyResolver::Answer& answer) {
    HttpExchange& waiting = *self->exchange_;
    waiting.waiting_ = false;
    if (self->state_ == State::kClosed) return self->release_exchange();
    waiting.key_answered_ = true;
    if (!answer.ok())
      waiting.key_error_ = answer.error();
    else if (!*answer)
      waiting.key_error_ = unknown;
    else
      waiting.key_ = *answer;
    self->resume();
  });
  return false;
}

// False: waits for a lease of tokens. Sets key_error_ when there is none left.
bool HttpSession::within_rate(HttpExchange& ex) {
  const RateGate::Verdict verdict =
      core().rates.admit(worker_.rate_passes, ex.key_, ex.client_, ex.passed_, Clock::now(), [&] {
        keep_input(ex);
        ex.waiting_ = true;
        return UniqueFunction<void()>([self = shared_from_this()]() mutable {
          Core& core = self->core();
          const size_t thread = self->worker_.index;
          core.threads.post(thread, [session = std::move(self)] {
            session->exchange_->waiting_ = false;
            if (session->state_ == State::kClosed) return session->release_exchange();
            session->resume();
          });
        });
      });
  if (verdict.state == RateLimiter::Verdict::State::kWait) return false;
  ex.waiting_ = false;
  if (verdict.state == RateLimiter::Verdict::State::kRefused)
    ex.key_error_ =
        Error(errors::kRateLimited, std::string("too many requests for this ") + verdict.which,
              verdict.retry_after);
  return true;
}

// Large bodies share one budget, so that many slow senders cannot take all memory.
bool HttpSession::reserve_body(HttpExchange& ex, uint64_t bytes) {
  if (bytes <= kUnreservedBody || bytes <= ex.reserved_) return true;
  const uint64_t more = bytes - ex.reserved_;
  const uint64_t used = core().body_memory.fetch_add(more, std::memory_order_relaxed) + more;
  ex.reserved_ = bytes;
  if (used <= core().config.max_body_memory) return true;
  refuse(ex, Error(errors::kOverloaded, "too many large bodies are being received; try again",
                   std::chrono::seconds(1)));
  return false;
}

bool HttpSession::read_body(HttpExchange& ex) {
  if (ex.chunked_) return read_chunks(ex);
  if (input(ex).size() - ex.head_size_ < ex.body_size_) {
    if (!reserve_body(ex, ex.body_size_)) return true;
    return need_body(ex);
  }
  ex.stage_ = Stage::kHandler;
  return true;
}

bool HttpSession::need_body(HttpExchange& ex) {
  if (std::exchange(ex.expects_continue_, false) &&
      stream_.write(kContinue.data(), kContinue.size()).bytes != kContinue.size()) {
    close();
    return false;
  }
  keep_input(ex);
  arm(Waiting::kBody);
  return false;
}

// Only the head stays in in_; the chunks are decoded as they come, and what follows the last one is
// put back behind the head.
bool HttpSession::read_chunks(HttpExchange& ex) {
  std::string kept;  // chunks that were kept with the head
  if (!ex.chunks_) {
    ex.chunks_.emplace(ex.max_body_);
    input(ex);
    if (ex.in_.empty()) {
      ex.in_.assign(fresh_.substr(0, ex.head_size_));
      fresh_.remove_prefix(ex.head_size_);
    } else {
      kept = ex.in_.substr(ex.head_size_);
      ex.in_.resize(ex.head_size_);
    }
    worker_.head_of = nullptr;
  }
  std::string_view rest = kept.empty() ? fresh_ : std::string_view(kept);
  const net::ChunkedBody::State state = ex.chunks_->feed(rest, ex.decoded_);
  fresh_ = {};
  switch (state) {
    case net::ChunkedBody::State::kNeedMore:
      if (!reserve_body(ex, ex.decoded_.size())) return true;
      return need_body(ex);
    case net::ChunkedBody::State::kComplete:
      ex.in_.append(rest);
      ex.stage_ = Stage::kHandler;
      return true;
    case net::ChunkedBody::State::kMalformed:
      core().probe.request_malformed();
      refuse(ex, Error(errors::kMalformedHttp, "a chunk of the body is malformed"));
      return true;
    case net::ChunkedBody::State::kTooLarge:
      refuse(ex, too_large(ex.max_body_));
      return true;
  }
  return false;
}

bool HttpSession::run_handler(HttpExchange& ex) {
  if (ex.waiting_) return false;
  arm(Waiting::kNothing);
  const std::string_view data = input(ex);
  need_head(ex);
  split_target(ex);
  const size_t body_size = ex.chunked_ ? 0 : static_cast<size_t>(ex.body_size_);
  ex.body_ = ex.chunked_ ? std::string_view(ex.decoded_) : data.substr(ex.head_size_, body_size);
  ex.route_->handle(ex);
  ex.body_ = ex.query_ = {};
  drop_input(ex, ex.head_size_ + body_size);
  if (ex.waiting_) {
    keep_input(ex);
    return false;
  }
  if (!ex.answered()) ex.fail(Error(errors::kInternal, "the handler gave no answer"));
  ex.stage_ = Stage::kAnswer;
  return true;
}

bool HttpSession::send_answer(HttpExchange& ex) {
  while (ex.unsent() > 0) {
    iovec pieces[3];
    size_t count = 0;
    size_t skip = ex.sent_;
    for (std::string_view piece : {std::string_view(ex.out_), ex.tail_, ex.after_}) {
      const size_t skipped = std::min(skip, piece.size());
      skip -= skipped;
      piece.remove_prefix(skipped);
      if (!piece.empty()) pieces[count++] = {const_cast<char*>(piece.data()), piece.size()};
    }
    const IoResult r = stream_.write({pieces, count});
    switch (r.state) {
      case IoState::kDone:
        ex.sent_ += r.bytes;
        continue;
      case IoState::kWantWrite:
        keep_input(ex);
        arm(Waiting::kWrite);
        if (!write_armed_) {
          write_armed_ = true;
          stream_.wait_writable([self = shared_from_this()](boost::system::error_code ec) {
            if (!ec) self->on_writable();
          });
        }
        return false;
      case IoState::kWantRead:
        keep_input(ex);
        arm(Waiting::kWrite);
        arm_read();
        return false;
      case IoState::kEnd:
      case IoState::kFailed:
        close();
        return false;
    }
  }
  const bool last = ex.close_;
  const bool unread = ex.linger_ || readable_ || !fresh_.empty() || !ex.in_.empty();
  finish(ex);
  if (!last) {
    // What follows in in_ is the next request's beginning.
    arm(Waiting::kNothing);
    core().body_memory.fetch_sub(ex.reserved_, std::memory_order_relaxed);
    std::string rest = std::move(ex.in_);
    ex.reset();
    ex.in_ = std::move(rest);
    ex.session_ = this;
    ex.worker_ = &worker_;
    return true;
  }
  stream_.shutdown_send();
  if (!unread) {
    close();
    return false;
  }
  release_exchange();
  state_ = State::kLinger;
  arm(Waiting::kLinger);
  linger();
  return false;
}

// The answer is out, or will never be.
void HttpSession::finish(HttpExchange& ex) {
  const auto duration = ex.begun_ ? Clock::now() - ex.started_ : Clock::duration{};
  const size_t body = ex.chunked_ ? ex.decoded_.size() : static_cast<size_t>(ex.body_size_);
  if (!ex.begun_) core().probe.request_started();
  core().probe.request_finished(ex.route_, ex.status_, duration, ex.head_size_ + body, ex.sent_);
  ex.begun_ = false;
  if (!core().config.access_log || !log::enabled(log::Level::kInfo)) return;
  const std::string& trace = ex.context.traceparent();
  log::write(
      log::Level::kInfo,
      {.project = ex.key_ ? std::string_view(ex.key_->project_id) : std::string_view{},
       .trace_id = trace.size() >= 35 ? std::string_view(trace).substr(3, 32) : std::string_view{},
       .request_id = ex.request_id_},
      "request",
      {{"method", std::string_view(ex.method_).substr(0, kLoggedMethod)},
       {"path", std::string_view(ex.path_).substr(0, kLoggedPath)},
       {"route", ex.route_ ? ex.route_->name : std::string_view("none")},
       {"status", ex.status_},
       {"us", std::chrono::duration_cast<std::chrono::microseconds>(duration).count()},
       {"in", body},
       {"out", ex.sent_},
       {"client", ex.client_.empty() ? address_ : ex.client_}});
}

}  // namespace raymesh::gateway
