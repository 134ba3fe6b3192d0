#include "services/gateway/raystream_call.hpp"

#include <algorithm>
#include <charconv>

#include "libs/telemetry/log.hpp"
#include "raymesh/auth/v1/auth.pb.h"
#include "services/gateway/core.hpp"
#include "services/gateway/raystream_actor.hpp"
#include "services/gateway/raystream_error.hpp"
#include "services/gateway/raystream_session.hpp"
#include "services/gateway/request_id.hpp"
#include "services/gateway/user_token.hpp"

namespace raymesh::gateway {
namespace {

// As with HTTP: what is larger counts against the budget of bodies that are being received. So does
// whatever comes in pieces: of that one session may have many, and leave them as they are.
constexpr uint64_t kUnreservedArgs = 64 << 10;

// What the memory of a call keeps of each buffer for the next one.
constexpr size_t kKeepCapacity = 2 << 10;

/// Appends a field to a serialized message; of one that stands in it twice the last one counts.
void append_text_field(std::string& message, int number, std::string_view text) {
  if (text.empty()) return;
  message += static_cast<char>(number << 3 | 2);
  size_t size = text.size();
  for (; size > 127; size >>= 7) message += static_cast<char>(size | 0x80);
  message += static_cast<char>(size);
  message += text;
}

uint64_t most_args(const Config& config, const RaystreamMethod& method, bool attached) {
  if (!attached) return raystream::kMaxUnattachedPayload;
  const uint64_t most = method.route ? body_limit(*method.route, config) : config.max_body;
  return std::min<uint64_t>(most, raystream::kMaxCallBytes);
}

Error too_large(uint64_t limit) {
  return Error(errors::kBodyTooLarge,
               "the arguments are above the limit of " + std::to_string(limit) + " bytes");
}

rpc::Peer* peer_of(const Peers& peers, Service service) {
  switch (service) {
    case Service::kAuth:
      return peers.auth.get();
    case Service::kStorage:
      return peers.storage.get();
    case Service::kCache:
      return peers.cache.get();
    case Service::kRealtime:
      return peers.realtime.get();
    case Service::kNone:
      break;
  }
  return nullptr;
}

// The service's reply as it is.
void pass_back(Exchange& ex, Result<std::string> result) {
  if (!result.ok()) return ex.fail(result.error());
  std::string bytes = std::move(*result);
  const std::string_view all = bytes;
  ex.reply_around({}, std::move(bytes), all, {});
}

}  // namespace

void RaystreamCall::open(RaystreamSession& session, const CallFrame& first,
                         const RaystreamMethod* method) {
  session_ = &session;
  id_ = first.call_id;
  method_ = method;
  begun_ = started_ = session.last_frame();
  worker_ = &session.worker();
  is_attach_ = method_ && method_->name == kAttachMethod;
  if (first.traceparent.empty()) return;
  const auto incoming = TraceContext::parse(first.traceparent);
  if (incoming) trace_ = incoming->child();
  has_trace_ = incoming.has_value();
}

// What a log or a service knows the call by; most small calls need none of it.
void RaystreamCall::identify() {
  if (!has_trace_) trace_ = TraceContext::start();
  has_trace_ = true;
  if (request_id_.empty()) append_request_id(request_id_);
}

void RaystreamCall::reset() {
  clear();
  session_ = nullptr;
  json_ = complete_ = is_attach_ = key_answered_ = has_trace_ = waited_ = attaching_ = false;
  key_error_.reset();
  wanted_timeout_ = {};
  passed_ = RateGate::Passed::kNothing;
  for (std::string* buffer : {&note, &args_, &path_text_, &query_text_, &idempotency_key_,
                              &attach_hash_, &attach_token_, &result_bytes_})
    recycle(*buffer, kKeepCapacity);
  forward_timeout_ = {};
  args_bytes_ = sent_ = 0;
  status_ = 0;
}

RaystreamCall::~RaystreamCall() {
  release_memory();
}

std::optional<Error> RaystreamCall::refusal(const CallFrame& first) {
  if (!method_) return Error(errors::kNotFound, "there is no method of this name");
  if (!session_->is_attached() && !is_attach_)
    return Error(errors::kUnauthenticated, "the session is not attached: call auth.attach first");
  json_ = first.content_type == "application/json";
  if (!json_ && !first.content_type.empty() && first.content_type != "application/x-protobuf")
    return Error(errors::kInvalidRequest,
                 "content-type must be application/json or application/x-protobuf");
  if (!json_ && method_->route && method_->service == Service::kNone)
    return Error(errors::kInvalidRequest, "this method has only the form application/json");
  // Rather none than one that a client relies on and that is not kept.
  if (!first.idempotency_key.empty() && (!method_->route || !method_->route->keeps_key))
    return Error(errors::kIdempotencyUnsupported,
                 std::string(errors::kIdempotencyUnsupported.meaning));
  // What HTTP has in a request's head, and as much; no budget counts it.
  if (first.path.size() + first.query.size() + first.idempotency_key.size() >
      core().config.max_header_bytes)
    return Error(errors::kHeadersTooLarge,
                 "path, query and idempotency-key are above the limit of " +
                     std::to_string(core().config.max_header_bytes) + " bytes");
  idempotency_key_ = first.idempotency_key;
  if (!first.timeout_ms.empty()) {
    const std::string_view text = first.timeout_ms;
    uint32_t ms = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
    if (error != std::errc() || end != text.data() + text.size() || ms == 0)
      return Error(errors::kInvalidRequest, "timeout-ms must be a whole number above 0");
    wanted_timeout_ = std::chrono::milliseconds(ms);
  }
  path_text_ = first.path;
  query_text_ = first.query;
  return std::nullopt;
}

Status RaystreamCall::add(std::string_view args, bool more) {
  const bool attached = session_->is_attached();
  const uint64_t most = most_args(core().config, *method_, attached);
  if (args_.size() + args.size() > most) return too_large(most);
  const uint64_t total = args_.size() + args.size();
  // What strangers may have is little, and nothing of what the others need.
  const bool counts = total > kUnreservedArgs || (more && attached);
  if (counts && total > reserved_) {
    const uint64_t wanted = total - reserved_;
    const uint64_t used = core().body_memory.fetch_add(wanted, std::memory_order_relaxed) + wanted;
    reserved_ = total;
    if (used > core().config.max_body_memory)
      return Error(errors::kOverloaded, "too many large calls are being received; try again",
                   std::chrono::seconds(1));
  }
  args_ += args;
  return ok_status();
}

void RaystreamCall::start() {
  complete_ = true;
  started_ = session_->last_frame();
  args_bytes_ = args_.size();
  client_ = session_->client();
  if (is_attach_) begin_attach();
  if (!answered()) run();
}

const std::string& RaystreamCall::key_hash() const {
  return is_attach_ ? attach_hash_ : session_->key_hash();
}

void RaystreamCall::run() {
  if (!find_key() || !within_rate()) return;
  is_attach_ ? attach() : dispatch();
  if (!waiting_ && !answered()) fail(Error(errors::kInternal, "the handler gave no answer"));
}

bool RaystreamCall::fail_key() {
  RaystreamSession& session = *session_;
  fail(Error(errors::kInvalidApiKey, "The API key is unknown or revoked"));
  // A session lives no longer than its key.
  if (!is_attach_) session.key_revoked();
  return false;
}

// False: waits for auth, or has failed.
bool RaystreamCall::find_key() {
  if (key_error_) {
    fail(*key_error_);
    return false;
  }
  if (key_) return true;
  auto state = KeyResolver::State::kUnknown;
  if (!key_answered_) state = worker_->keys.find_hash(key_hash(), key_, started_);
  switch (state) {
    case KeyResolver::State::kKnown:
      return true;
    case KeyResolver::State::kUnknown:
      return fail_key();
    case KeyResolver::State::kAsked:
      break;
  }
  waiting_ = waited_ = true;
  worker_->keys.wait([self = shared_from_this()](const KeyResolver::Answer& answer) {
    self->waiting_ = false;
    self->key_answered_ = true;
    if (!answer.ok())
      self->key_error_ = answer.error();
    else
      self->key_ = *answer;
    if (self->session_) self->session_->resumed(self);
  });
  return false;
}

// False: waits for a lease of tokens, or has failed.
bool RaystreamCall::within_rate() {
  if (!core().config.rate_limits) return true;
  const auto now = waited_ ? Clock::now() : started_;
  RatePasses& passes = worker_->rate_passes;
  const RateGate::Verdict verdict = core().rates.admit(passes, key_, client_, passed_, now, [&] {
    waiting_ = waited_ = true;
    return UniqueFunction<void()>([self = shared_from_this()]() mutable {
      Core& core = self->core();
      const size_t thread = self->worker_->index;
      core.threads.post(thread, [call = std::move(self)] {
        call->waiting_ = false;
        if (call->session_) call->session_->resumed(call);
      });
    });
  });
  if (verdict.state == RateLimiter::Verdict::State::kWait) return false;
  waiting_ = false;
  if (verdict.state == RateLimiter::Verdict::State::kAdmitted) return true;
  fail(Error(errors::kRateLimited, std::string("too many requests for this ") + verdict.which,
             verdict.retry_after));
  return false;
}

void RaystreamCall::dispatch() {
  if (!method_->route) return echo();
  if (!may_use(*method_->route, key_.get())) return fail(lacks_capability(*method_->route));
  identify();
  context.set_project(key_->project_id);
  context.set_traceparent(trace_.to_string());
  context.set_request_id(request_id_);
  context.set_client_address(client_);
  if (method_ == &subscribe_method()) return subscribe();
  if (json_) {
    body_ = args_;
    rest_ = path_text_;
    // The whole end of HTTP's path will do, too: an encoded channel has no slash.
    const std::string_view suffix = method_->route->suffix;
    if (!suffix.empty() && rest_.ends_with(suffix)) rest_.remove_suffix(suffix.size());
    query_ = query_text_;
    operation_ = method_->operation;
    method_->route->handle(*this);
    body_ = rest_ = query_ = {};
  } else {
    forward();
  }
  // What a service gets of them waits in this process, and counts until there is an answer.
  recycle(args_, kKeepCapacity);
}

// The arguments; with "bytes=n" as its query, repeated or cut to that size: what a client asks for
// to see a round trip of calls and answers of a given size.
void RaystreamCall::echo() {
  constexpr std::string_view kBytes = "bytes=";
  constexpr size_t kMost = 1'024;
  if (query_text_.empty()) return reply(200, args_);
  const std::string_view text = query_text_;
  size_t size = 0;
  const auto [end, error] = std::from_chars(text.data() + std::min(kBytes.size(), text.size()),
                                            text.data() + text.size(), size);
  if (!text.starts_with(kBytes) || error != std::errc() || end != text.data() + text.size() ||
      size > kMost || (size > 0 && args_.empty()))
    return fail(
        Error(errors::kInvalidRequest,
              "the query of raystream.echo is bytes=n, at most 1024, with arguments to repeat"));
  result_bytes_.reserve(size);
  while (result_bytes_.size() < size) result_bytes_.append(args_, 0, size - result_bytes_.size());
  answer(200);
}

void RaystreamCall::forward() {
  // Something may be appended below. A field that claims to be longer than the arguments are would
  // swallow it, and with it what the method's name says.
  if (!is_message(args_))
    return fail(Error(errors::kInvalidRequest, "the arguments are no Protobuf message"));
  rpc::Peer& peer = *peer_of(core().peers, method_->service);
  rpc::CallOptions o = options(method_->repeat);
  switch (method_->forward) {
    case Forward::kPlain:
      break;
    case Forward::kOperation:
      append_text_field(args_, 1, method_->operation);
      append_text_field(args_, 4, idempotency_key_);
      break;
    case Forward::kMigration:
      append_text_field(args_, 2, idempotency_key_);
      o = options(method_->repeat, core().config.migration_timeout);
      break;
    case Forward::kChannel:
      o = channel_options(text_field(args_, 1), method_->repeat);
      break;
    case Forward::kUser:
      return forward_with_user(o);
    case Forward::kToken:
      if (text_field(args_, 1).empty()) {
        auth::v1::VerifyTokenRequest request;
        const std::string_view token = session_->access_token();
        request.set_access_token(token.data(), token.size());
        args_ = request.SerializeAsString();
      }
      break;
  }
  // A key is the user's.
  if (!idempotency_key_.empty()) return forward_with_user(o);
  call(peer, method_->rpc, std::move(args_), o, pass_back);
}

void RaystreamCall::forward_with_user(const rpc::CallOptions& options) {
  note = std::move(args_);
  forward_timeout_ = options.timeout;
  with_user(*this, [](Exchange& ex) {
    const auto& self = static_cast<RaystreamCall&>(ex);
    const RaystreamMethod& m = *self.method_;
    ex.call(*peer_of(ex.core().peers, m.service), m.rpc, std::move(ex.note),
            ex.options(m.repeat, self.forward_timeout_), pass_back);
  });
}

void RaystreamCall::send_call(std::string_view method, std::string payload,
                              const rpc::CallOptions& options) {
  core().calls.fetch_add(1, std::memory_order_relaxed);
  ticket_ = peer_->call(method, context, std::move(payload), options,
                        [self = shared_from_this()](Result<std::string> result) mutable {
                          // Any thread: the result is this call's until the task below has run.
                          self->result_.emplace(std::move(result));
                          Core& core = self->core();
                          const size_t thread = self->worker_->index;
                          core.threads.post(thread, [call = std::move(self)] {
                            call->core().calls.fetch_sub(1, std::memory_order_relaxed);
                            if (call->session_) call->session_->answered(call);
                          });
                        });
}

void RaystreamCall::take_result() {
  waiting_ = false;
  ticket_ = 0;
  Result<std::string> result = std::move(*result_);
  result_.reset();
  next_(*this, std::move(result));
  if (!waiting_ && !answered()) fail(Error(errors::kInternal, "the handler gave no answer"));
}

void RaystreamCall::abandon() {
  session_ = nullptr;
  release_memory();
  if (waiting_ && ticket_ != 0) peer_->cancel(ticket_);
}

void RaystreamCall::spent() {
  session_ = nullptr;
  release_memory();
  recycle(result_bytes_, kKeepCapacity);
}

void RaystreamCall::release_memory() {
  recycle(args_, kKeepCapacity);
  if (reserved_ > 0) core().body_memory.fetch_sub(reserved_, std::memory_order_relaxed);
  reserved_ = 0;
}

std::string_view RaystreamCall::access_token() const {
  return session_ ? session_->access_token() : std::string_view();
}

std::string_view RaystreamCall::trace_id() const {
  const std::string& trace = context.traceparent();
  return trace.size() >= 35 ? std::string_view(trace).substr(3, 32) : std::string_view();
}

// --- The answer --------------------------------------------------------------------------------

void RaystreamCall::reply(int status, std::string_view json) {
  if (answered() || !session_) return;
  result_bytes_.assign(json);
  answer(status);
}

// What it is is in result_bytes_.
void RaystreamCall::answer(int status) {
  release_memory();
  status_ = status;
  session_->answer(*this);
}

void RaystreamCall::reply_around(std::string_view before, std::string&& owner,
                                 std::string_view value, std::string_view after) {
  if (answered() || !session_) return;
  const size_t size = before.size() + value.size() + after.size();
  if (size > raystream::kMaxCallBytes)
    return fail(Error(errors::kResultTooLarge, "the result is above the limit of " +
                                                   std::to_string(raystream::kMaxCallBytes) +
                                                   " bytes; ask for less"));
  if (size == owner.size()) {
    result_bytes_ = std::move(owner);
  } else {
    result_bytes_.reserve(size);
    result_bytes_.append(before).append(value).append(after);
  }
  answer(200);
}

void RaystreamCall::fail(const Error& error) {
  if (answered() || !session_) return;
  status_ = error.http_status();
  if (status_ == 429) core().probe.rate_limited();
  if (status_ == 500)
    log::error("call failed", {{"request_id", request_id()},
                               {"method", method_ ? method_->name : std::string_view("none")},
                               {"error", error.message}});
  RaystreamSession& session = *session_;
  session.answer_error(*this, error);
  if (attaching_) return session.attach_failed();
  // A call on behalf of the user has found out what the session's own check would have later.
  if (error.is(errors::kInvalidToken)) session.token_revoked();
}

}  // namespace raymesh::gateway
