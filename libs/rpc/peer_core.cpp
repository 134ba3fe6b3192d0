#include "libs/rpc/peer_core.hpp"

#include <algorithm>

#include "libs/rpc/client_stream.hpp"
#include "libs/rpc/slices.hpp"
#include "libs/rpc/timers.hpp"
#include "raymesh/common/v1/calls.pb.h"

namespace raymesh::rpc {
namespace {

constexpr uint32_t kIndexBits = 20;
constexpr uint64_t kIndexMask = (1u << kIndexBits) - 1;
constexpr std::chrono::milliseconds kConnectTimeout{2'000};
constexpr std::chrono::milliseconds kRetryAfter{1'000};
/// A stream that was up for so long was a good one: its end starts the backoff anew.
constexpr std::chrono::milliseconds kGoodStream{1'000};
/// A call that has met so many broken streams is not put on another one: it may be what breaks
/// them.
constexpr uint8_t kMaxAttempts = 4;

uint64_t mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

// True on a thread that runs a stream's reaction: it must not wait for streams to end.
thread_local bool t_in_completion = false;

void run(std::vector<std::pair<Peer::Done, Result<std::string>>>& completed) {
  const bool outer = std::exchange(t_in_completion, true);
  for (auto& [done, result] : completed) done(std::move(result));
  completed.clear();
  t_in_completion = outer;
}

}  // namespace

PeerCore::PeerCore(PeerConfig config, std::string cluster_key, MakeChannel make_channel)
    : config_(std::move(config)),
      cluster_key_(std::move(cluster_key)),
      make_channel_(std::move(make_channel)),
      projects_(config_.limits.max_calls_per_project) {}

PeerCore::~PeerCore() = default;

// ---- Calls ----

uint64_t PeerCore::ticket_of(const Slot& slot) {
  return static_cast<uint64_t>(slot.generation) << kIndexBits | slot.index;
}

PeerCore::Slot* PeerCore::find(uint64_t ticket) {
  const uint64_t index = ticket & kIndexMask;
  if (index >= slots_.size()) return nullptr;
  Slot& slot = slots_[index];
  return slot.state != State::kFree && ticket_of(slot) == ticket ? &slot : nullptr;
}

PeerCore::Slot* PeerCore::find_on(const ClientStream& stream, uint64_t id) {
  const uint64_t index = id & kIndexMask;
  if (index >= slots_.size()) return nullptr;
  Slot& slot = slots_[index];
  return slot.stream == &stream && slot.id == id ? &slot : nullptr;
}

PeerCore::Slot& PeerCore::allocate() {
  ++live_;
  if (free_.empty()) {
    Slot& slot = slots_.emplace_back();
    slot.index = static_cast<uint32_t>(slots_.size() - 1);
    slot.generation = 1;
    return slot;
  }
  Slot& slot = slots_[free_.back()];
  free_.pop_back();
  return slot;
}

uint64_t PeerCore::call(std::string_view method, const common::v1::CallContext& context,
                        std::string payload, const CallOptions& options, Peer::Done done) {
  const auto& limits = config_.limits;
  const auto refuse = [&](const ErrorKind& kind, std::string message) -> uint64_t {
    done(Error(kind, std::move(message),
               kind.code == errors::kOverloaded.code ? std::chrono::milliseconds(100)
                                                     : std::chrono::milliseconds(0)));
    return 0;
  };
  if (options.timeout.count() <= 0)
    return refuse(errors::kDeadlineExceeded, "no time is left for the call");
  if (payload.size() > limits.max_request_bytes)
    return refuse(
        errors::kMessageTooLarge,
        "the request is larger than " + std::to_string(limits.max_request_bytes) + " bytes");
  const auto now = Clock::now();
  Lock lock(mutex_);
  if (shutdown_) {
    lock.unlock();
    return refuse(errors::kUnavailable, "the process is stopping");
  }
  if (live_ >= limits.max_calls) {
    lock.unlock();
    return refuse(errors::kOverloaded, config_.service + " has too many calls in flight");
  }
  if (auto admitted = projects_.admit(context.project()); !admitted.ok()) {
    lock.unlock();
    done(std::move(admitted).error());
    return 0;
  }
  Slot& slot = allocate();
  slot.repeat = options.repeat;
  slot.affinity = options.affinity;
  slot.deadline = now + options.timeout;
  slot.method.assign(method);
  context.SerializeToString(&slot.context);
  slot.project.assign(context.project());
  slot.payload = std::move(payload);
  slot.done = std::move(done);
  const uint64_t ticket = ticket_of(slot);
  ClientStream* stream = choose(slot.affinity);
  if (!stream) {
    wait(slot, std::min(slot.deadline, now + limits.max_wait));
    return ticket;
  }
  arm(slot.deadline, ticket);
  send(slot, *stream);
  flush(*stream, std::move(lock));
  return ticket;
}

void PeerCore::cancel(uint64_t ticket) {
  Completed completed;
  {
    Lock lock(mutex_);
    Slot* slot = find(ticket);
    if (!slot) return;
    ClientStream* stream = slot->stream;
    if (stream) stream->outbox.add_cancel(slot->id);
    end(*slot, Error(errors::kCancelled, "the caller has cancelled the call"), completed);
    if (stream) flush(*stream, std::move(lock));
  }
  run(completed);
}

void PeerCore::send(Slot& slot, ClientStream& stream) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(slot.deadline - Clock::now()).count();
  slot.state = State::kQueued;
  slot.stream = &stream;
  slot.id = ++stream.sequence << kIndexBits | slot.index;
  ++slot.attempts;
  ++stream.in_flight;
  frames::CallParts parts{.method = slot.method,
                          .timeout_ms = static_cast<uint32_t>(std::max<int64_t>(left, 1)),
                          .context = slot.context,
                          .payload = slot.payload,
                          .credit = config_.limits.initial_credit};
  slot.large = slot.payload.size() > frames::kChunkBytes;
  if (!slot.large) {
    slot.segment = stream.outbox.add_call(slot.id, parts);
    return;
  }
  parts.payload = parts.payload.substr(0, frames::kChunkBytes);
  parts.more = true;
  slot.transfer = {};
  slot.transfer.id = slot.id;
  frames::append_call(slot.transfer.head, slot.id, parts);
  slot.transfer.body = slot.payload;
  slot.transfer.offset = frames::kChunkBytes;
  slot.transfer.credit = frames::kRequestCredit - frames::kChunkBytes;
  stream.outbox.start(slot.transfer);
}

void PeerCore::wait(Slot& slot, Clock::time_point until) {
  slot.state = State::kWaiting;
  slot.wait_until = until;
  waiting_.push_back(ticket_of(slot));
  arm(until, ticket_of(slot));
}

void PeerCore::detach(Slot& slot) {
  reply_bytes_ -= slot.reply.size();
  slot.reply.clear();
  slot.ungranted = 0;
  if (!slot.stream) return;
  slot.stream->outbox.drop(slot.transfer);
  slot.transfer = {};
  --slot.stream->in_flight;
  slot.stream = nullptr;
}

void PeerCore::end(Slot& slot, Result<std::string> result, Completed& completed) {
  completed.emplace_back(std::move(slot.done), std::move(result));
  detach(slot);
  projects_.release(slot.project);
  slot.state = State::kFree;
  slot.attempts = 0;
  slot.payload = {};
  ++slot.generation;
  free_.push_back(slot.index);
  --live_;
}

// ---- Streams ----

ClientStream* PeerCore::choose(uint64_t affinity) const {
  ClientStream* best = nullptr;
  uint64_t best_score = 0;
  for (const auto& endpoint : endpoints_) {
    ClientStream* stream = endpoint->stream.get();
    if (!stream || !stream->up || stream->draining || stream->broken) continue;
    // Highest score: rendezvous hashing for affinity, else the fewest calls in flight.
    const uint64_t score = affinity ? mix(affinity ^ endpoint->hash) : ~stream->in_flight;
    if (best && score <= best_score) continue;
    best = stream;
    best_score = score;
  }
  return best;
}

void PeerCore::place_waiting() {
  while (!waiting_.empty()) {
    Slot* slot = find(waiting_.front());
    if (slot && slot->state == State::kWaiting) {
      ClientStream* stream = choose(slot->affinity);
      if (!stream) return;
      arm(slot->deadline, waiting_.front());
      send(*slot, *stream);
    }
    waiting_.pop_front();
  }
}

void PeerCore::start(const std::vector<std::string>& addresses) {
  set_addresses(addresses);
}

void PeerCore::set_addresses(const std::vector<std::string>& addresses) {
  std::vector<EndpointPtr> added;
  Lock lock(mutex_);
  if (closed_) return;
  for (const auto& address : addresses) {
    const bool known = std::any_of(endpoints_.begin(), endpoints_.end(),
                                   [&](const EndpointPtr& e) { return e->address == address; });
    if (known) continue;
    auto endpoint = std::make_shared<Endpoint>();
    endpoint->address = address;
    endpoint->hash = mix(std::hash<std::string>{}(address));
    endpoints_.push_back(endpoint);
    added.push_back(std::move(endpoint));
  }
  std::erase_if(endpoints_, [&](const EndpointPtr& endpoint) {
    if (std::find(addresses.begin(), addresses.end(), endpoint->address) != addresses.end())
      return false;
    endpoint->removed = true;
    if (endpoint->stream) endpoint->stream->draining = true;
    return true;
  });
  flush_all(std::move(lock));
  for (const auto& endpoint : added) connect(endpoint);
}

void PeerCore::connect(const EndpointPtr& endpoint) {
  auto channel = make_channel_(endpoint->address);
  auto stream =
      std::make_shared<ClientStream>(shared_from_this(), std::move(channel), cluster_key_);
  {
    Lock lock(mutex_);
    if (closed_ || endpoint->removed || endpoint->stream) return;
    endpoint->stream = stream;
    streams_.push_back(stream);
  }
  stream->start(config_.service);
  Timers::shared().at(Clock::now() + kConnectTimeout,
                      [core = weak_from_this(), weak = std::weak_ptr(stream)] {
                        auto self = core.lock();
                        auto late = weak.lock();
                        if (!self || !late) return;
                        Lock lock(self->mutex_);
                        const bool up = late->up;
                        lock.unlock();
                        if (!up) late->abort();
                      });
}

void PeerCore::reconnect_later(const EndpointPtr& endpoint) {
  if (closed_ || endpoint->removed) return;
  Timers::shared().at(Clock::now() + endpoint->backoff.next(), [weak = weak_from_this(), endpoint] {
    if (auto self = weak.lock()) self->connect(endpoint);
  });
}

PeerCore::EndpointPtr PeerCore::endpoint_of(const ClientStream& stream) const {
  for (const auto& endpoint : endpoints_)
    if (endpoint->stream.get() == &stream) return endpoint;
  return nullptr;
}

void PeerCore::stream_up(ClientStream& stream) {
  Lock lock(mutex_);
  stream.up = true;
  stream.up_since = Clock::now();
  place_waiting();
  flush_all(std::move(lock));
}

void PeerCore::stream_batch(ClientStream& stream, std::string_view batch) {
  Completed completed;
  frames::Reader reader(batch);
  {
    Lock lock(mutex_);
    for (frames::Field f; reader.next(f);)
      if (f.number == 1) on_frame(stream, f.bytes, completed);
    flush(stream, std::move(lock));
  }
  if (reader.ok())
    stream.read();
  else
    stream.abort();
  run(completed);
}

void PeerCore::on_frame(ClientStream& stream, std::string_view bytes, Completed& completed) {
  frames::Frame frame;
  if (!frames::parse_frame(bytes, frame)) return;
  if (frame.field == frames::kDrain) {
    stream.draining = true;
    if (auto endpoint = endpoint_of(stream)) {
      endpoint->stream = nullptr;
      reconnect_later(endpoint);
    }
    return;
  }
  Slot* slot = find_on(stream, frame.id);
  if (!slot) return;  // the call ended while its answer was under way
  switch (frame.field) {
    case frames::kError:
      return end(*slot, frames::parse_error(frame.body), completed);
    case frames::kChunk:
      return on_chunk(stream, *slot, frame.body, completed);
    case frames::kCredit: {
      uint32_t credit = 0;
      if (slot->large && frames::parse_credit(frame.body, credit))
        stream.outbox.grant(slot->transfer, credit);
      return;
    }
    default:
      return;
  }
}

void PeerCore::on_chunk(ClientStream& stream, Slot& slot, std::string_view body,
                        Completed& completed) {
  frames::ChunkBody chunk;
  if (!frames::parse_chunk(body, chunk))
    return end(slot, Error(errors::kInternal, "the service sent a chunk that does not parse"),
               completed);
  if (!chunk.more && slot.reply.empty()) return end(slot, std::string(chunk.payload), completed);

  const size_t size = slot.reply.size() + chunk.payload.size();
  const auto& limits = config_.limits;
  if (size > limits.max_reply_bytes ||
      reply_bytes_ + chunk.payload.size() > limits.max_buffered_bytes) {
    stream.outbox.add_cancel(slot.id);
    const bool one = size > limits.max_reply_bytes;
    return end(
        slot,
        Error(one ? errors::kMessageTooLarge : errors::kOverloaded,
              one ? "the answer is larger than " + std::to_string(limits.max_reply_bytes) + " bytes"
                  : "too many large answers are under way"),
        completed);
  }
  slot.reply.append(chunk.payload);
  reply_bytes_ += chunk.payload.size();
  if (!chunk.more) {
    reply_bytes_ -= slot.reply.size();
    std::string reply = std::move(slot.reply);
    slot.reply.clear();
    return end(slot, std::move(reply), completed);
  }
  slot.ungranted += static_cast<uint32_t>(chunk.payload.size());
  if (slot.ungranted < limits.initial_credit / 2) return;
  stream.outbox.add_credit(slot.id, slot.ungranted);
  slot.ungranted = 0;
}

void PeerCore::stream_write_done(ClientStream& stream, bool ok) {
  Lock lock(mutex_);
  stream.writing = false;
  if (!ok) stream.broken = true;
  flush(stream, std::move(lock));
}

void PeerCore::stream_broken(ClientStream& stream) {
  Lock lock(mutex_);
  stream.broken = true;
  flush(stream, std::move(lock));
}

void PeerCore::stream_done(ClientStream& stream, const grpc::Status& status) {
  (void)status;
  Completed completed;
  {
    Lock lock(mutex_);
    stream.broken = true;
    fail_over(stream, completed);
    if (auto endpoint = endpoint_of(stream)) {
      if (stream.up && Clock::now() - stream.up_since > kGoodStream) endpoint->backoff.reset();
      endpoint->stream = nullptr;
      reconnect_later(endpoint);
    }
    place_waiting();
    std::erase_if(streams_, [&](const auto& s) { return s.get() == &stream; });
    flush_all(std::move(lock));
  }
  run(completed);
  streams_ended_.notify_all();
}

void PeerCore::fail_over(ClientStream& stream, Completed& completed) {
  for (Slot& slot : slots_) {
    if (slot.stream != &stream) continue;
    const bool sent = slot.large ? slot.transfer.head.empty() : stream.outbox.sent(slot.segment);
    detach(slot);
    if (closed_) {
      end(slot, Error(errors::kUnavailable, "the process is stopping"), completed);
    } else if (sent && slot.repeat == Repeat::kNever) {
      end(slot,
          Error(errors::kOutcomeUnknown,
                "the connection to " + config_.service + " broke after " + slot.method +
                    " was sent; it may or may not have happened",
                kRetryAfter),
          completed);
    } else if (slot.attempts >= kMaxAttempts) {
      end(slot,
          Error(errors::kUnavailable,
                "the connection to " + config_.service + " broke again and again", kRetryAfter),
          completed);
    } else {
      wait(slot, slot.deadline);
    }
  }
}

// ---- Deadlines ----

void PeerCore::arm(Clock::time_point at, uint64_t ticket) {
  deadlines_.add(at, ticket, live_, [this](uint64_t key) { return find(key) != nullptr; });
  set_alarm(at);
}

void PeerCore::set_alarm(Clock::time_point at) {
  if (at >= alarm_) return;
  alarm_ = at;
  Timers::shared().at(at, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->on_alarm();
  });
}

void PeerCore::on_alarm() {
  Completed completed;
  {
    Lock lock(mutex_);
    alarm_ = Clock::time_point::max();
    const auto now = Clock::now();
    while (auto ticket = deadlines_.pop(now)) {
      Slot* slot = find(*ticket);
      if (!slot) continue;
      if (now >= slot->deadline) {
        if (slot->stream) slot->stream->outbox.add_cancel(slot->id);
        end(*slot, Error(errors::kDeadlineExceeded, slot->method + " took longer than its timeout"),
            completed);
      } else if (slot->state == State::kWaiting && now >= slot->wait_until) {
        end(*slot,
            Error(errors::kUnavailable, "no endpoint of " + config_.service + " is up",
                  kRetryAfter),
            completed);
      }
    }
    if (auto next = deadlines_.next()) set_alarm(*next);
    flush_all(std::move(lock));
  }
  run(completed);
}

// ---- The end ----

bool PeerCore::ready() const {
  Lock lock(mutex_);
  return choose(0) != nullptr;
}

void PeerCore::shutdown() {
  Lock lock(mutex_);
  shutdown_ = true;
}

void PeerCore::close() {
  Completed completed;
  Lock lock(mutex_);
  shutdown_ = true;
  closed_ = true;
  for (Slot& slot : slots_) {
    if (slot.state == State::kFree) continue;
    end(slot, Error(errors::kUnavailable, "the process is stopping"), completed);
  }
  const auto streams = streams_;
  lock.unlock();
  run(completed);
  for (const auto& stream : streams) stream->abort();
  if (t_in_completion) return;
  lock.lock();
  streams_ended_.wait(lock, [this] { return streams_.empty(); });
}

// ---- gRPC operations ----

PeerCore::Action PeerCore::next_action(ClientStream& stream) {
  if (stream.writing) return Action::kNone;
  if (stream.broken) return std::exchange(stream.held, false) ? Action::kRelease : Action::kNone;
  if (!stream.outbox.empty()) {
    Transfer* sent = nullptr;
    stream.outgoing = slices::from_string(stream.outbox.take(sent));
    stream.writing = true;
    return Action::kWrite;
  }
  if (stream.up && stream.draining && stream.in_flight == 0 && !stream.half_closed) {
    stream.half_closed = true;
    return Action::kHalfClose;
  }
  return Action::kNone;
}

void PeerCore::perform(ClientStream& stream, Action action) {
  switch (action) {
    case Action::kNone:
      return;
    case Action::kWrite:
      return stream.StartWrite(&stream.outgoing);
    case Action::kHalfClose:
      return stream.StartWritesDone();
    case Action::kRelease:
      return stream.RemoveHold();
  }
}

void PeerCore::flush(ClientStream& stream, Lock lock) {
  const Action action = next_action(stream);
  lock.unlock();
  perform(stream, action);
}

void PeerCore::flush_all(Lock lock) {
  std::vector<std::pair<std::shared_ptr<ClientStream>, Action>> due;
  for (const auto& stream : streams_)
    if (Action action = next_action(*stream); action != Action::kNone)
      due.emplace_back(stream, action);
  lock.unlock();
  for (auto& [stream, action] : due) perform(*stream, action);
}

}  // namespace raymesh::rpc
