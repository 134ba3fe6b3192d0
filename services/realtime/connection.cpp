#include "services/realtime/connection.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "libs/net/websocket/upgrade.hpp"
#include "services/realtime/event_encoder.hpp"
#include "services/realtime/shard.hpp"

namespace raymesh::realtime {

namespace ws = net::websocket;

namespace {

constexpr int kMaxReads = 8;       // of one connection in one turn
constexpr size_t kMaxPieces = 64;  // of one sendmsg

const CloseCode& failure(uint16_t code) {
  for (const CloseCode& c : close::kAll)
    if (c.code == code) return c;
  return close::kProtocolError;
}

}  // namespace

Connection::Connection(Shard& shard, ConnectionId id, int fd)
    : shard_(shard), id_(id), fd_(fd), stream_(fd, shard.node().tls) {}

Connection::~Connection() {
  ::close(fd_);
}

void Connection::start() {
  shard_.wheel().arm(*this, shard_.node().limits.handshake_timeout, shard_.now());
}

// ---- reading ----

void Connection::on_readable(bool ended) {
  ended_ |= ended;
  if (state_ == State::kDead) return;
  if (!tls_ready_) {
    const auto result = stream_.handshake();
    if (result.state == net::IoState::kWantRead || result.state == net::IoState::kWantWrite) return;
    if (result.state != net::IoState::kDone) return abort();
    tls_ready_ = true;
  }
  if (has_published_ && shard_.node().overloaded()) return shard_.read_later(*this);
  bool more = true;
  for (int i = 0; i < kMaxReads && more; ++i) {
    if (!read_once(more)) return;
  }
  if (more) shard_.read_later(*this);
  // TLS may have waited for something to read before it could write.
  if (stream_.is_tls() && backlog_) on_writable();
}

/// False when the connection is over. Sets `more` when there may be more to read.
bool Connection::read_once(bool& more) {
  if (state_ == State::kJoining && input_ && input_->size == input_->capacity) {
    abort();  // sends frames before the handshake is done, and many
    return false;
  }
  char* to = shard_.read_buffer().data();
  size_t room = shard_.read_buffer().size();
  if (input_) {
    to = input_->data.get() + input_->size;
    room = input_->capacity - input_->size;
  }
  const auto result = stream_.read(to, room);
  if (result.state != net::IoState::kDone) {
    more = false;
    if (result.state == net::IoState::kEnd || result.state == net::IoState::kFailed) abort();
    return state_ != State::kDead;
  }
  heard_ = true;
  if (input_) {
    input_->size += result.bytes;
    take({input_->data.get(), input_->size});
  } else {
    take({to, result.bytes});
  }
  // A short read of a plain socket has emptied it; a TLS one must be read until it says so.
  more = result.bytes == room || ended_ || stream_.is_tls();
  return state_ != State::kDead;
}

/// Handles what is complete and keeps the rest.
void Connection::take(std::span<char> data) {
  size_t used = 0;
  while (used < data.size()) {
    const size_t n = consume(data.subspan(used));
    used += n;
    if (n == 0 || state_ == State::kDead) break;
  }
  publish_batches();
  if (state_ == State::kDead) return;
  keep(data.subspan(used));
}

void Connection::keep(std::span<const char> rest) {
  if (rest.empty()) {
    input_.reset();
    return;
  }
  const size_t capacity = std::max(wanted_, rest.size());
  if (input_ && input_->capacity >= capacity) {
    std::memmove(input_->data.get(), rest.data(), rest.size());
  } else {
    auto fresh = std::make_unique<Input>();
    fresh->data.reset(new char[capacity]);
    fresh->capacity = capacity;
    std::memcpy(fresh->data.get(), rest.data(), rest.size());
    input_ = std::move(fresh);
  }
  input_->size = rest.size();
}

/// Returns how many bytes it has used; 0 when it needs more of them.
size_t Connection::consume(std::span<char> data) {
  switch (state_) {
    case State::kHandshake:
      return read_handshake(data);
    case State::kJoining:
      wanted_ = shard_.node().limits.max_head_bytes;
      return 0;
    case State::kOpen:
    case State::kClosing:
      if (is_stream(dialect_)) break;  // has nothing to say
      return read_frames(data);
    case State::kRefused:
    case State::kDead:
      break;
  }
  return data.size();
}

size_t Connection::read_frames(std::span<char> data) {
  size_t used = 0;
  while (used < data.size() && (state_ == State::kOpen || state_ == State::kClosing)) {
    ws::Frame frame;
    const auto result = ws::parse_client_frame(
        data.subspan(used), shard_.node().limits.max_message_bytes, frame, rsv1_);
    if (result.status == ws::ParseStatus::kNeedMore) {
      wanted_ = result.bytes;
      break;
    }
    if (result.status == ws::ParseStatus::kError) {
      if (state_ == State::kClosing) {
        abort();
      } else {
        close(failure(result.error));
        give_up_reading();
      }
      return data.size();
    }
    used += result.bytes;
    on_frame(frame);
  }
  return used;
}

/// After a close frame of ours, when what the peer sends can no longer be told apart.
void Connection::give_up_reading() {
  if (state_ != State::kClosing) return;
  state_ = State::kRefused;
  after_write();
}

void Connection::on_frame(const ws::Frame& frame) {
  const std::string_view payload(frame.payload.data(), frame.payload.size());
  switch (frame.opcode) {
    case ws::Opcode::kClose:
      return on_close_frame(payload);
    case ws::Opcode::kPong:
      return;
    case ws::Opcode::kPing: {
      if (state_ != State::kOpen) return;
      std::string pong;
      ws::append_server_frame(pong, ws::Opcode::kPong, payload);
      return write_bytes(pong);
    }
    default:
      break;
  }
  if (state_ != State::kOpen) return;
  ws::MessageAssembler::Message message;
  uint16_t error = 0;
  switch (assembler_.add(frame, shard_.node().limits.max_message_bytes, message, error)) {
    case ws::MessageAssembler::Status::kIncomplete:
      return;
    case ws::MessageAssembler::Status::kError:
      return close(failure(error));
    case ws::MessageAssembler::Status::kMessage:
      error = shard_.inflater().open(message, shard_.node().limits.max_message_bytes);
      if (error != 0) return close(failure(error));
      on_message(message.is_text, message.payload);
      assembler_.release();
  }
}

void Connection::on_close_frame(std::string_view payload) {
  ws::ClosePayload received;
  const uint16_t error = ws::parse_close_payload(payload, received);
  got_close_ = true;
  if (state_ == State::kClosing) return after_write();
  if (error != 0) return close(failure(error));
  // Section 5.5.1: the answer has the code that was received.
  const CloseCode echo{received.code, "", false, ""};
  close(echo);
}

void Connection::on_message(bool is_text, std::span<char> payload) {
  if (dialect_ != Dialect::kDefault) return run_commands(is_text, payload);
  const NodeContext& node = shard_.node();
  if (!rate_.take(node.limits.publish_rate, node.limits.publish_rate, shard_.now()))
    return close(close::kRateLimited);
  on_default_message({payload.data(), payload.size()});
}

void Connection::on_default_message(std::string_view payload) {
  const NodeContext& node = shard_.node();
  ClientMessageParser::Message message;
  if (!shard_.parser().parse(payload, message)) return node.probe.message_ignored();
  if (message.is_refresh) return refresh(0, std::string(message.token));
  Subscription* s = find_subscription(message.channel);
  if (!s || !s->may_publish) return node.probe.message_ignored();
  auto& batches = shard_.open_batches();
  if (s->batch < 0) {
    s->batch = static_cast<int32_t>(batches.size());
    batches.push_back({number(*s), {}, std::make_shared<PublishBatch>(id_), {}});
  }
  PublishBatch& batch = *batches[static_cast<size_t>(s->batch)].batch;
  batch.add(message.payload);
  if (batch.bytes() > kMaxBatchBytes) publish_batches();
}

/// One message to each channel's actor for all that this read has brought.
void Connection::publish_batches() {
  auto& batches = shard_.open_batches();
  if (batches.empty()) return;
  const NodeContext& node = shard_.node();
  for (auto& open : batches) {
    ChannelPtr channel;
    if (open.subscription != Shard::OpenBatch::kNone) {
      Subscription& s = subscriptions_[open.subscription];
      s.batch = -1;
      channel = s.channel;
      open.channel = channel->name();
    } else if (const Subscription* s = find_subscription(open.channel)) {
      channel = s->channel;
    } else {
      channel = node.channels.find(member_->project, open.channel);
    }
    const size_t count = open.batch->count();
    node.probe.published(count, open.batch->bytes());
    has_published_ = true;
    Answer<Published> done;
    if (!open.acks.empty())
      done = [outlets = node.outlets, id = id_, name = open.channel, acks = std::move(open.acks),
              count](Result<Published> published) mutable {
        outlets->shards[id.shard()]->post(
            Command([id, name = std::move(name), acks = std::move(acks), count,
                     published = std::move(published)](Shard& shard) {
              if (Connection* c = shard.find(id)) c->on_published(name, acks, count, published);
            }));
      };
    node.broker.publish(member_->project, open.channel, channel, std::move(open.batch),
                        std::move(done));
  }
  batches.clear();
}

// ---- writing ----

void Connection::send(std::span<const Span> spans) {
  if (state_ == State::kOpen && !backlog_) {
    write_spans(spans);
  } else if (state_ == State::kOpen || state_ == State::kJoining) {
    keep_unsent(spans, 0);
    check_backlog();
  }
}

void Connection::write_spans(std::span<const Span> spans) {
  net::IoResult result{net::IoState::kDone};
  size_t offered = 0;
  if (spans.size() == 1) [[likely]] {
    offered = spans[0].size();
    result = stream_.write(spans[0].data(), offered);
  } else if (spans.size() <= kMaxPieces) {
    iovec pieces[kMaxPieces];
    for (size_t i = 0; i < spans.size(); ++i) {
      pieces[i] = {const_cast<char*>(spans[i].data()), spans[i].size()};
      offered += spans[i].size();
    }
    result = stream_.write(std::span<const iovec>(pieces, spans.size()));
  }
  if (result.state == net::IoState::kFailed || result.state == net::IoState::kEnd) return abort();
  if (result.bytes == offered && offered > 0) [[likely]]
    return;
  keep_unsent(spans, result.bytes);
  // A TLS stream may take a part without the socket being full, and then no event would follow.
  if (result.state == net::IoState::kDone) flush_backlog();
  check_backlog();
}

/// However much it is, the client is not slow because it has missed it: it takes no room of what
/// may wait for it.
void Connection::send_missed(const Span& missed) {
  if (!backlog_) backlog_ = std::make_unique<Backlog>();
  backlog_->push(missed);
  backlog_->allow(missed.size());
  if (state_ == State::kOpen) flush_backlog();
  check_backlog();
}

void Connection::keep_unsent(std::span<const Span> spans, size_t sent) {
  if (!backlog_) backlog_ = std::make_unique<Backlog>();
  for (const Span& span : spans) {
    const size_t gone = std::min(sent, span.size());
    sent -= gone;
    if (gone < span.size()) backlog_->push(span, gone);
  }
}

void Connection::check_backlog() {
  if (!backlog_ || state_ == State::kDead) return;
  const NodeContext& node = shard_.node();
  const size_t waiting = backlog_->bytes();
  if (waiting > node.limits.max_backlog_bytes + backlog_->allowed() ||
      (waiting > NodeLimits::kFairBacklog &&
       node.outlets->memory.bytes() > node.limits.max_frame_memory))
    close(close::kTooSlow);
}

void Connection::write_bytes(std::string_view bytes) {
  net::IoResult result{net::IoState::kWantWrite};
  if (!backlog_) {
    result = stream_.write(bytes.data(), bytes.size());
    if (result.state == net::IoState::kFailed || result.state == net::IoState::kEnd) return abort();
    if (result.bytes == bytes.size()) return;
  }
  const Span span = Span::copy(bytes, shard_.node().outlets->memory);
  keep_unsent({&span, 1}, result.bytes);
  if (result.state == net::IoState::kDone) flush_backlog();
  if (state_ == State::kOpen) check_backlog();
}

void Connection::flush_backlog() {
  iovec pieces[kMaxPieces];
  while (backlog_ && !backlog_->empty()) {
    const size_t n = backlog_->gather(pieces);
    const auto result = stream_.write(std::span<const iovec>(pieces, n));
    if (result.state == net::IoState::kWantRead || result.state == net::IoState::kWantWrite) return;
    if (result.state != net::IoState::kDone) return abort();
    backlog_->consume(result.bytes);
  }
  backlog_.reset();
  if (lossy_) catch_up();
  after_write();
}

void Connection::on_writable() {
  if (state_ == State::kDead || state_ == State::kJoining) return;
  if (!tls_ready_ && stream_.is_tls()) return on_readable(false);
  if (backlog_) flush_backlog();
}

/// Everything that had to go out has gone out.
void Connection::after_write() {
  if (backlog_) return;
  if (state_ == State::kClosing && got_close_) abort();
  if (state_ == State::kRefused) stream_.shutdown_send();
}

// ---- the end ----

void Connection::close(const CloseCode& code, std::string_view reason,
                       std::chrono::milliseconds handover) {
  if (state_ == State::kHandshake || state_ == State::kJoining) return abort();
  if (state_ != State::kOpen) return;
  if (reason.empty()) reason = code.reason;
  shard_.node().probe.connection_closed(code);
  leave_channels(handover);
  shard_.wheel().arm(*this, shard_.node().limits.close_timeout, shard_.now());
  if (is_stream(dialect_)) {
    v1::Event event;
    event.mutable_closed()->set_code(code.code);
    event.mutable_closed()->set_reason(std::string(reason));
    std::string frame;
    append_event(frame, dialect_, event);
    state_ = State::kRefused;
    write_bytes(frame);
    if (state_ == State::kRefused) after_write();
    return;
  }
  state_ = State::kClosing;
  if (backlog_) {
    backlog_->keep_started(stream_.is_tls() ? net::FdStream::kRecord : 0);
    if (backlog_->empty()) backlog_.reset();
  }
  write_bytes(ws::close_frame(code.code, reason));
  if (state_ != State::kDead) after_write();
}

void Connection::drain(std::chrono::milliseconds return_after, std::chrono::milliseconds handover) {
  if (state_ == State::kOpen && dialect_ != Dialect::kDefault) {
    v1::Event event;
    event.mutable_reconnect()->set_after_ms(static_cast<uint32_t>(return_after.count()));
    send_event(event);
  }
  close(close::kServiceRestart, "reconnect_after_ms=" + std::to_string(return_after.count()),
        handover);
}

void Connection::abort() {
  if (state_ == State::kDead) return;
  if (state_ == State::kOpen) shard_.node().probe.connection_lost();
  if (state_ == State::kHandshake || state_ == State::kJoining)
    shard_.node().probe.connection_refused();
  leave_channels();
  state_ = State::kDead;
  backlog_.reset();
  disarm();
  shard_.doom(*this);
}

void Connection::on_timeout() {
  if (state_ != State::kOpen) return abort();
  const int64_t life = expires_at_ - shard_.unix_now();
  if (life <= 0) return close(close::kTokenExpired);
  if (session_ && session_->tell_at > 0 && shard_.unix_now() >= session_->tell_at) {
    session_->tell_at = 0;
    v1::Event event;
    event.mutable_expiring()->set_in_ms(life * 1'000);
    send_event(event);
    if (state_ != State::kOpen) return;
  }
  if (shard_.now() >= ping_at_) on_ping_time();
  if (state_ == State::kOpen) arm_timer();
}

/// For whatever comes first: the next ping, the end of the token, or telling of it.
void Connection::arm_timer() {
  using std::chrono::milliseconds;
  const auto life = std::chrono::seconds(std::max<int64_t>(expires_at_ - shard_.unix_now(), 0));
  auto next = std::min<milliseconds>(
      std::chrono::ceil<milliseconds>(std::max(ping_at_ - shard_.now(), Shard::Clock::duration(0))),
      life);
  if (session_ && session_->tell_at > 0)
    next = std::min<milliseconds>(
        next, std::chrono::seconds(std::max<int64_t>(session_->tell_at - shard_.unix_now(), 0)));
  shard_.wheel().arm(*this, next, shard_.now());
}

void Connection::on_ping_time() {
  ping_at_ = shard_.now() + shard_.node().limits.ping_interval;
  shard_.node().probe.ping_sent();
  switch (dialect_) {
    case Dialect::kEvents:
    case Dialect::kEventsMany:
      return write_bytes(":\n\n");
    case Dialect::kLines:
      return write_bytes("\n");
    default:
      break;
  }
  if (!heard_) return abort();  // half-open: nothing came since the last ping
  heard_ = false;
  static constexpr std::string_view kPing("\x89\x00", 2);
  write_bytes(kPing);
}

}  // namespace raymesh::realtime
