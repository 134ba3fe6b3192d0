#include "clients/cpp/src/connection.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/system/system_error.hpp>
#include <utility>

#include "libs/raystream/plain_frame.hpp"

namespace raymesh::client {

using raystream::FrameType;
using raystream::ParseStatus;
using raystream::Phase;
using raystream::Refusal;

namespace {

// Larger frames would hold up what is sent beside a long transfer.
constexpr size_t kPart = 256 << 10;
constexpr size_t kHighWater = 1 << 20;
constexpr size_t kMaxIncomplete = 4 << 20;
constexpr std::chrono::seconds kLinger{1};
// Tag and length of the field `args`, and the field `more`.
constexpr size_t kArgsOverhead = 5 + 2;
constexpr std::string_view kMore("\x20\x01", 2);

// After these the session is over (the page, "Closing"). After CONFLICT it goes on, but elsewhere:
// somebody has a copy of its secret, and two who take it from each other in turns help nobody.
bool ends_session(raystream::ErrorCode code) {
  return code == raystream::ErrorCode::kNone || code == raystream::ErrorCode::kUnauthorized ||
         code == raystream::ErrorCode::kForbidden ||
         code == raystream::ErrorCode::kSessionExpired || code == raystream::ErrorCode::kConflict;
}

std::string args_head(size_t size) {
  std::string head = "\x1a";
  for (; size > 127; size >>= 7) head += static_cast<char>(size | 0x80);
  head += static_cast<char>(size);
  return head;
}

uint64_t unix_ms() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace

// A call from its first frame to its answer, or until nobody wants that any more.
class Connection::OpenCall {
 public:
  explicit OpenCall(Connection& connection)
      : connection_(connection), pending_(connection.expect_answer(id_)) {}
  OpenCall(const OpenCall&) = delete;
  OpenCall& operator=(const OpenCall&) = delete;

  // There is no message to take a call back. JSON that ends too early is refused as a whole, which
  // ends the call; what is not JSON might be read as a shorter message: that call stays as it is,
  // never whole, until the session ends.
  ~OpenCall() {
    connection_.pending_.erase(id_);
    if (!unfinished_json_ || connection_.is_over()) return;
    v1::RpcCall last;
    last.set_call_id(id_);
    connection_.send(FrameType::kRpcCall, {last.SerializeAsString()});
  }

  uint64_t id() const { return id_; }
  Pending& pending() { return *pending_; }
  void set_unfinished_json(bool value) { unfinished_json_ = value; }

 private:
  Connection& connection_;
  uint64_t id_ = 0;
  std::shared_ptr<Pending> pending_;
  bool unfinished_json_ = false;
};

Connection::Connection(const asio::any_io_executor& strand, std::unique_ptr<Transport> transport,
                       Settings settings)
    : strand_(strand),
      transport_(std::move(transport)),
      settings_(std::move(settings)),
      handshake_(settings_.trust),
      budget_(kMaxIncomplete),
      frames_(budget_),
      linger_(strand) {}

// --- Opening -------------------------------------------------------------------------------------

asio::awaitable<void> Connection::open(const raystream::Resumption* resume) {
  const std::shared_ptr<Connection> self = shared_from_this();
  handshake_.start(resume, out_);
  frame_added(0);
  std::string failure;
  try {
    co_await transport_->connect();
  } catch (const boost::system::system_error& error) {
    failure = error.code().message();
  }
  if (!failure.empty())
    end(network_error("the connection to the gateway failed: " + failure), true, false);
  if (over_) throw Error(*over_);
  loops_ = 2;
  asio::co_spawn(strand_, read_loop(self), asio::detached);
  asio::co_spawn(strand_, write_loop(self), asio::detached);
  while (!ready_ && !over_) co_await changed_.wait();
  if (over_) throw Error(*over_);
}

asio::awaitable<void> Connection::attach(const std::string& api_key,
                                         const std::string& access_token) {
  const std::shared_ptr<Connection> self = shared_from_this();
  v1::Attach attach;
  attach.set_api_key(api_key);
  attach.set_access_token(access_token);
  v1::RpcCall call;
  call.set_method("auth.attach");
  call.set_args(attach.SerializeAsString());
  OpenCall open(*this);
  open.pending().attaches = true;
  call.set_call_id(open.id());
  send(FrameType::kRpcCall, {call.SerializeAsString()});
  while (!open.pending().done) co_await open.pending().changed.wait();
  if (open.pending().outcome.error) throw Error(*open.pending().outcome.error);
}

asio::awaitable<Connection::ResumeAnswer> Connection::resume(
    std::vector<v1::Resume::Subscription> subscriptions) {
  const std::shared_ptr<Connection> self = shared_from_this();
  v1::Resume resume;
  ResumeAnswer answer;
  for (v1::Resume::Subscription& subscription : subscriptions) {
    *resume.add_subscriptions() = subscription;
    if (answer.left.empty() && resume.ByteSizeLong() <= raystream::kMaxUnattachedPayload) continue;
    resume.mutable_subscriptions()->RemoveLast();
    answer.left.push_back(std::move(subscription));
  }
  send(FrameType::kResume, {resume.SerializeAsString()});
  while (!resumed_ && !over_) co_await changed_.wait();
  if (!resumed_) throw Error(*over_);
  answer.ended.assign(resumed_->ended().begin(), resumed_->ended().end());
  co_return answer;
}

// --- Frames that come ----------------------------------------------------------------------------

asio::awaitable<void> Connection::read_loop(std::shared_ptr<Connection> /*kept*/) {
  std::string failure;
  try {
    for (;;) {
      const std::span<char> bytes =
          co_await transport_->read(expected().max_payload + raystream::kFrameOverhead);
      // After the end only so that what was sent last arrives.
      if (!over_) receive(bytes);
    }
  } catch (const boost::system::system_error& error) {
    failure = error.code().message();
  } catch (const std::exception& error) {
    failure = error.what();
  }
  if (!over_) end(network_error("the connection to the gateway ended: " + failure), true, false);
  transport_->abort();
  linger_.cancel();
  --loops_;
  changed_.notify();
}

raystream::Expected Connection::expected() const {
  return ready_ ? session_.expected() : raystream::ClientHandshake::expected();
}

void Connection::receive(std::span<char> bytes) {
  if (settings_.websocket) return take_frame(bytes);
  frames_.feed(bytes);
  while (!over_) {
    const auto next = frames_.next(expected());
    if (next.status == ParseStatus::kNeedMore) return;
    if (next.status == ParseStatus::kRefused) return refuse(next.refusal);
    take_frame(next.frame);
  }
}

void Connection::take_frame(std::span<char> frame) {
  if (!ready_) return take_response(frame);
  raystream::Incoming in;
  if (const Refusal refusal = session_.open(frame, in)) return refuse(refusal);
  const auto size = static_cast<int>(in.payload.size());
  if (!take_message(in.type, in.payload.data(), size))
    refuse({raystream::ErrorCode::kInvalidRequest, "the payload is no message of its type"});
}

void Connection::take_response(std::span<char> frame) {
  const Refusal refusal = handshake_.read({frame.data(), frame.size()}, session_);
  if (const raystream::CloseReason* close = handshake_.refused_by_server())
    return end(from_close(*close, false), true, false);
  if (refusal) return end(distrust(refusal.why), true, false);
  session_id_ = session_.id();
  cipher_ = session_.cipher();
  ready_ = true;
  changed_.notify();
}

void Connection::refuse(const Refusal& refusal) {
  if (!ready_)
    return end(distrust("what the server answers is no raystream: " + std::string(refusal.why)),
               true, false);
  const size_t before = out_.size();
  session_.close(refusal.code, refusal.why, out_);
  frame_added(before);
  end(network_error("the gateway broke the protocol: " + std::string(refusal.why)), true, true);
}

// False: it is no such message.
bool Connection::take_message(FrameType type, const char* data, int size) {
  switch (type) {
    case FrameType::kClose: {
      const auto close = raystream::read_close({data, static_cast<size_t>(size)});
      end(from_close(close, true), !ends_session(close.code), false);
      return true;
    }
    case FrameType::kHeartbeat: {
      v1::Heartbeat beat;
      unanswered_beats_ = 0;
      return beat.ParseFromArray(data, size);
    }
    case FrameType::kEvent: {
      v1::Event event;
      if (!event.ParseFromArray(data, size)) return false;
      settings_.on_event(event);
      for (const v1::Event& one : event.more()) settings_.on_event(one);
      return true;
    }
    case FrameType::kResume: {
      v1::Resumed resumed;
      if (!resumed.ParseFromArray(data, size)) return false;
      take_resumed(std::move(resumed));
      return true;
    }
    case FrameType::kRpcError: {
      v1::RpcError error;
      if (!error.ParseFromArray(data, size)) return false;
      const auto found = pending_.find(error.call_id());
      if (found == pending_.end()) return true;  // was given up
      found->second->outcome.error = from_rpc_error(error);
      found->second->done = true;
      found->second->changed.notify();
      return true;
    }
    case FrameType::kRpcResponse: {
      v1::RpcResponse part;
      return part.ParseFromArray(data, size) && take_answer(part);
    }
    default:
      return false;
  }
}

bool Connection::take_answer(const v1::RpcResponse& part) {
  const auto found = pending_.find(part.call_id());
  if (found == pending_.end() || found->second->done) return true;
  Pending& call = *found->second;
  Outcome& outcome = call.outcome;
  if (call.parts++ == 0) outcome.status = static_cast<int>(part.status());
  if (outcome.result.size() + part.result().size() > raystream::kMaxCallBytes) return false;
  outcome.result += part.result();
  try {
    if (call.on_download) call.on_download(outcome.result.size());
  } catch (...) {
    // The application's own; it is told by its call.
    outcome.thrown = std::current_exception();
  }
  if (part.more() && !outcome.thrown) return true;
  // The limit rises with this answer, before anything that follows it is looked at.
  if (call.attaches) attached();
  call.done = true;
  call.changed.notify();
  return true;
}

void Connection::take_resumed(v1::Resumed resumed) {
  resumed_ = std::move(resumed);
  attached();
  // The gateway drops the old secret with the next frame that it sees.
  beat();
  changed_.notify();
}

void Connection::attached() {
  session_.attached();
  // Now: the connection may end with the frame behind this one.
  resumption_ = raystream::Resumption{session_id_, crypto::Secret(session_.resumption_secret())};
  asio::co_spawn(strand_, beat_loop(shared_from_this()), asio::detached);
}

// --- Frames that go ------------------------------------------------------------------------------

void Connection::frame_added(size_t before) {
  if (out_.size() == before) return;
  out_frames_.push_back(out_.size() - before);
  to_write_.notify();
}

bool Connection::send(FrameType type, std::initializer_list<std::string_view> pieces) {
  if (over_) return false;
  const size_t before = out_.size();
  if (session_.seal(type, pieces, out_) != raystream::Sent::kOk) {
    end(network_error("a frame could not be sent"), true, false);
    return false;
  }
  frame_added(before);
  return true;
}

asio::awaitable<void> Connection::write_loop(std::shared_ptr<Connection> /*kept*/) {
  std::string failure;
  try {
    for (;;) {
      while (out_.empty() && !over_) co_await to_write_.wait();
      if (out_.empty()) break;
      std::swap(out_, writing_);
      const std::vector<size_t> frames = std::exchange(out_frames_, {});
      co_await transport_->write(writing_.bytes(), frames);
      writing_.consumed(writing_.size());
      written_.notify();
    }
  } catch (const boost::system::system_error& error) {
    failure = error.code().message();
  }
  if (!over_) end(network_error("the connection to the gateway failed: " + failure), true, false);
  transport_->end_sending();
  --loops_;
  changed_.notify();
}

std::shared_ptr<Connection::Pending> Connection::expect_answer(uint64_t& id) {
  auto pending = std::make_shared<Pending>();
  id = ++last_call_;
  if (over_) {
    pending->outcome.error = *over_;
    pending->outcome.lost = pending->done = true;
  } else {
    pending_.emplace(id, pending);
  }
  return pending;
}

asio::awaitable<void> Connection::upload(OpenCall& open, const CallRequest& request) {
  const bool json = [&] {
    const auto type = request.metadata.find("content-type");
    return type != request.metadata.end() && type->second == "application/json";
  }();
  v1::RpcCall first;
  first.set_call_id(open.id());
  std::string head = first.SerializeAsString();
  const std::string later = head;
  first.set_method(request.method);
  first.mutable_metadata()->insert(request.metadata.begin(), request.metadata.end());
  head = first.SerializeAsString();
  const std::string_view args = request.args;
  size_t sent = 0;
  do {
    const size_t room = std::min<size_t>(session_.max_payload(), kPart);
    if (head.size() + kArgsOverhead >= room)
      throw Error(ErrorCode::kInvalidRequest, 431, "headers_too_large",
                  "the metadata of the call is too large");
    const std::string_view part = args.substr(sent, room - head.size() - kArgsOverhead);
    sent += part.size();
    const bool last = sent == args.size();
    const std::string before_args = part.empty() ? "" : args_head(part.size());
    send(FrameType::kRpcCall, {head, before_args, part, last ? std::string_view() : kMore});
    head = later;
    open.set_unfinished_json(json && !last);
    if (request.progress.on_upload) request.progress.on_upload(sent, args.size());
    while (sent < args.size() && out_.size() + writing_.size() > kHighWater && !over_ &&
           !open.pending().done) {
      if (Clock::now() >= request.deadline) co_return;
      co_await written_.wait(request.deadline);
    }
  } while (sent < args.size() && !over_ && !open.pending().done);
}

asio::awaitable<Outcome> Connection::call(const CallRequest& request) {
  const std::shared_ptr<Connection> self = shared_from_this();
  if (request.args.size() > raystream::kMaxCallBytes)
    throw Error(
        ErrorCode::kInvalidRequest, 413, "body_too_large",
        "arguments of " + std::to_string(request.args.size()) + " bytes; a call takes 16 MiB");
  OpenCall open(*this);
  open.pending().on_download = request.progress.on_download;
  if (!over_) co_await upload(open, request);
  while (!open.pending().done) {
    if (Clock::now() >= request.deadline) throw timed_out(request.method, request.timeout);
    co_await open.pending().changed.wait(request.deadline);
  }
  Outcome outcome = std::move(open.pending().outcome);
  if (outcome.thrown) std::rethrow_exception(outcome.thrown);
  co_return outcome;
}

asio::awaitable<Outcome> Connection::subscribe(v1::StreamKind kind, std::string name, bool on,
                                               std::string from, bool presence) {
  const std::shared_ptr<Connection> self = shared_from_this();
  OpenCall open(*this);
  v1::Subscribe subscribe;
  subscribe.set_call_id(open.id());
  subscribe.set_kind(kind);
  subscribe.set_name(std::move(name));
  subscribe.set_on(on);
  subscribe.set_from_position(std::move(from));
  subscribe.set_presence(presence);
  subscribe.set_batches(true);
  send(FrameType::kSubscribe, {subscribe.SerializeAsString()});
  while (!open.pending().done) co_await open.pending().changed.wait();
  Outcome outcome = std::move(open.pending().outcome);
  v1::Subscribed subscribed;
  if (!outcome.error && !subscribed.ParseFromString(outcome.result))
    outcome.error = network_error("the answer to SUBSCRIBE is no such message");
  outcome.result = subscribed.position();
  co_return outcome;
}

// --- Heartbeats ----------------------------------------------------------------------------------

void Connection::beat() {
  ++unanswered_beats_;
  v1::Heartbeat beat;
  beat.set_timestamp(unix_ms());
  send(FrameType::kHeartbeat, {beat.SerializeAsString()});
}

asio::awaitable<void> Connection::beat_loop(std::shared_ptr<Connection> /*kept*/) {
  for (;;) {
    const auto next = Clock::now() + settings_.heartbeat;
    while (!over_ && Clock::now() < next) co_await beat_wake_.wait(next);
    if (over_) co_return;
    if (unanswered_beats_ >= 2)
      end(network_error("the gateway does not answer heartbeats any more"), true, false);
    else
      beat();
  }
}

// --- The end -------------------------------------------------------------------------------------

asio::awaitable<void> Connection::close() {
  const std::shared_ptr<Connection> self = shared_from_this();
  if (!over_) {
    const size_t before = out_.size();
    session_.close(raystream::ErrorCode::kNone, {}, out_);
    frame_added(before);
    end(client_closed(), false, true);
  }
  while (loops_ > 0) co_await changed_.wait();
}

void Connection::drop(const Error& error) {
  end(error, true, false);
}

void Connection::end(const Error& error, bool resumable, bool linger) {
  if (over_) return;
  over_ = error;
  if (!resumable) resumption_.reset();
  session_.drop();
  if (linger && loops_ > 0) {
    linger_.expires_after(kLinger);
    linger_.async_wait([self = shared_from_this()](boost::system::error_code ec) {
      if (!ec) self->transport_->abort();
    });
  } else {
    transport_->abort();
    out_.consumed(out_.size());
    out_frames_.clear();
  }
  const auto calls = std::exchange(pending_, {});
  for (const auto& [id, call] : calls) {
    if (call->done) continue;
    call->outcome.error = error;
    call->outcome.lost = call->done = true;
    call->changed.notify();
  }
  changed_.notify();
  to_write_.notify();
  written_.notify();
  beat_wake_.notify();
  const OnEnd tell = std::exchange(on_end_, {});
  if (tell) tell(error, resumable);
}

}  // namespace raymesh::client
