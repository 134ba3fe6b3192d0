#include "services/realtime/connection.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "libs/net/websocket/upgrade.hpp"
#include "services/realtime/shard.hpp"

namespace raymesh::realtime {

namespace ws = net::websocket;

namespace {

constexpr int kMaxReads = 8;       // of one connection in one turn
constexpr size_t kMaxPieces = 64;  // of one sendmsg
constexpr size_t kMaxBatchBytes = 256u << 10;

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
    const auto result =
        ws::parse_client_frame(data.subspan(used), shard_.node().limits.max_message_bytes, frame);
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
      on_message(message.payload);
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

void Connection::on_message(std::span<char> payload) {
  const NodeContext& node = shard_.node();
  if (!rate_.take(node.limits.publish_rate, node.limits.publish_rate, shard_.now()))
    return close(close::kRateLimited);
  ClientMessageParser::Publish publish;
  if (!shard_.parser().parse_publish({payload.data(), payload.size()}, publish))
    return node.probe.message_ignored();
  const auto it = std::lower_bound(
      subscriptions_.begin(), subscriptions_.end(), publish.channel,
      [](const Subscription& s, std::string_view name) { return s.channel->name() < name; });
  if (it == subscriptions_.end() || it->channel->name() != publish.channel)
    return node.probe.message_ignored();
  auto& batches = shard_.open_batches();
  if (it->batch < 0) {
    it->batch = static_cast<int32_t>(batches.size());
    batches.push_back(
        {static_cast<uint32_t>(it - subscriptions_.begin()), std::make_shared<PublishBatch>(id_)});
  }
  PublishBatch& batch = *batches[static_cast<size_t>(it->batch)].batch;
  batch.add(publish.payload);
  if (batch.bytes() > kMaxBatchBytes) publish_batches();
}

/// One message to each channel's actor for all that this read has brought.
void Connection::publish_batches() {
  auto& batches = shard_.open_batches();
  for (auto& open : batches) {
    Subscription& subscription = subscriptions_[open.subscription];
    subscription.batch = -1;
    shard_.node().probe.published(open.batch->count(), open.batch->bytes());
    has_published_ = true;
    const ChannelPtr& channel = subscription.channel;
    shard_.node().broker.publish(channel->project(), channel->name(), channel,
                                 std::move(open.batch), nullptr);
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
  if (waiting > node.limits.max_backlog_bytes ||
      (waiting > NodeLimits::kFairBacklog &&
       node.outlets.memory.bytes() > node.limits.max_frame_memory))
    close(close::kTooSlow);
}

void Connection::write_bytes(std::string_view bytes) {
  net::IoResult result{net::IoState::kWantWrite};
  if (!backlog_) {
    result = stream_.write(bytes.data(), bytes.size());
    if (result.state == net::IoState::kFailed || result.state == net::IoState::kEnd) return abort();
    if (result.bytes == bytes.size()) return;
  }
  Span span{Segment::create(bytes.size(), shard_.node().outlets.memory), 0,
            static_cast<uint32_t>(bytes.size())};
  std::memcpy(span.segment->data(), bytes.data(), bytes.size());
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

void Connection::close(const CloseCode& code, std::string_view reason) {
  if (state_ == State::kHandshake || state_ == State::kJoining) return abort();
  if (state_ != State::kOpen) return;
  shard_.node().probe.connection_closed(code);
  leave_channels();
  state_ = State::kClosing;
  if (backlog_) {
    backlog_->keep_started(stream_.is_tls() ? net::FdStream::kRecord : 0);
    if (backlog_->empty()) backlog_.reset();
  }
  shard_.wheel().arm(*this, shard_.node().limits.close_timeout, shard_.now());
  write_bytes(ws::close_frame(code.code, reason.empty() ? code.reason : reason));
  if (state_ != State::kDead) after_write();
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
  if (shard_.unix_now() >= expires_at_) return close(close::kTokenExpired);
  on_ping_time();
}

void Connection::on_ping_time() {
  if (!heard_) return abort();  // half-open: nothing came since the last ping
  heard_ = false;
  shard_.node().probe.ping_sent();
  const auto life = std::chrono::seconds(expires_at_ - shard_.unix_now());
  shard_.wheel().arm(*this,
                     std::min<std::chrono::milliseconds>(shard_.node().limits.ping_interval, life),
                     shard_.now());
  static constexpr std::string_view kPing("\x89\x00", 2);
  write_bytes(kPing);
}

}  // namespace raymesh::realtime
