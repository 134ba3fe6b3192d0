// The part of PeerCore that deals with endpoints, their streams and what comes in on them.
#include <algorithm>

#include "libs/rpc/peer_core.hpp"
#include "libs/rpc/timers.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::rpc {
namespace {

constexpr std::chrono::milliseconds kConnectTimeout{2'000};
/// A stream that was up for so long was a good one: its end starts the backoff anew.
constexpr std::chrono::milliseconds kGoodStream{1'000};
/// A call that has met so many broken streams is not put on another one: it may be what breaks
/// them.
constexpr uint8_t kMaxAttempts = 4;
/// What may wait in the connection: above it, small frames of later calls overtake what is still
/// here, in the outbox.
constexpr size_t kMaxUnsentBytes = 128u << 10;

}  // namespace

// ---- Endpoints ----

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
    endpoint->hash = std::hash<std::string>{}(address);
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
  flush_all();
  lock.unlock();
  for (const auto& endpoint : added) connect(endpoint);
}

void PeerCore::connect(const EndpointPtr& endpoint) {
  std::shared_ptr<CallsClient> stream;
  {
    Lock lock(mutex_);
    if (closed_ || endpoint->removed || endpoint->stream) return;
    stream = std::make_shared<CallsClient>(shared_from_this(), dialer_, endpoint->address,
                                           endpoint->attempts++, place_);
    endpoint->stream = stream;
    streams_.push_back(stream);
  }
  stream->start();
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
    auto self = weak.lock();
    if (!self) return;
    {
      // Under the lock, because the metrics may be gone as soon as close() has returned.
      Lock lock(self->mutex_);
      if (self->closed_) return;
      self->shared_->probe.reconnect();
    }
    self->connect(endpoint);
  });
}

PeerCore::EndpointPtr PeerCore::endpoint_of(const CallsClient& stream) const {
  for (const auto& endpoint : endpoints_)
    if (endpoint->stream.get() == &stream) return endpoint;
  return nullptr;
}

void PeerCore::stream_up(CallsClient& stream) {
  Lock lock(mutex_);
  stream.up = true;
  stream.up_since = Clock::now();
  shared_->probe.stream_up();
  if (auto endpoint = endpoint_of(stream)) {
    if (endpoint->warned)
      log::info("connected again", {{"peer", config_.service}, {"endpoint", endpoint->address}});
    endpoint->warned = false;
  }
  place_waiting();
  flush_all();
}

void PeerCore::stream_batch(CallsClient& stream, std::string_view batch) {
  Completed completed;
  frames::Reader reader(batch);
  {
    Lock lock(mutex_);
    for (frames::Field f; reader.next(f);)
      if (f.number == 1) on_frame(stream, f.bytes, completed);
    flush(stream);
  }
  if (!reader.ok()) stream.abort();
  run(completed);
}

void PeerCore::on_frame(CallsClient& stream, std::string_view bytes, Completed& completed) {
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

void PeerCore::on_chunk(CallsClient& stream, Slot& slot, std::string_view body,
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

void PeerCore::stream_done(CallsClient& stream, const grpc_wire::Status& status) {
  Completed completed;
  {
    Lock lock(mutex_);
    stream.broken = true;
    if (stream.up) shared_->probe.stream_down();
    fail_over(stream, completed);
    if (auto endpoint = endpoint_of(stream)) {
      note_end(*endpoint, stream, status);
      endpoint->stream = nullptr;
      reconnect_later(endpoint);
    }
    place_waiting();
    flush_all();
  }
  run(completed);
  // Last, because close() waits for it.
  Lock lock(mutex_);
  std::erase_if(streams_, [&](const auto& s) { return s.get() == &stream; });
  if (streams_.empty()) streams_ended_.notify_all();
}

void PeerCore::note_end(Endpoint& endpoint, const CallsClient& stream,
                        const grpc_wire::Status& status) {
  if (stream.up && Clock::now() - stream.up_since > kGoodStream) endpoint.backoff.reset();
  last_failure_ = status.message;
  if (closed_ || endpoint.warned) return;
  endpoint.warned = true;
  log::warn("connection lost", {{"peer", config_.service},
                                {"endpoint", endpoint.address},
                                {"status", status.code},
                                {"reason", status.message}});
}

void PeerCore::fail_over(CallsClient& stream, Completed& completed) {
  for (Slot& slot : slots_) {
    if (slot.stream != &stream) continue;
    const bool sent = stream.outbox.sent(slot.segment);
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
      // As long as a new call would wait, and no longer.
      wait(slot, std::min(slot.deadline, Clock::now() + config_.limits.max_wait));
    }
  }
}

// ---- Sending ----

bool PeerCore::has_work(const CallsClient& stream) {
  if (!stream.up || stream.broken || stream.half_closed) return false;
  return !stream.outbox.empty() || (stream.draining && stream.in_flight == 0);
}

void PeerCore::flush(CallsClient& stream) {
  if (stream.turn_due || !has_work(stream)) return;
  stream.turn_due = true;
  stream.wake();
}

void PeerCore::flush_all() {
  for (const auto& stream : streams_) flush(*stream);
}

void PeerCore::stream_turn(CallsClient& stream) {
  Lock lock(mutex_);
  stream.turn_due = false;
  if (!has_work(stream)) return;
  while (!stream.outbox.empty() && stream.unsent() < kMaxUnsentBytes) {
    Transfer* sent = nullptr;
    const std::string batch = stream.outbox.take(sent);
    shared_->probe.batch_sent(batch.size());
    stream.send(batch);
  }
  if (!stream.outbox.empty() || !stream.draining || stream.in_flight > 0) return;
  stream.half_closed = true;
  stream.half_close();
}

}  // namespace raymesh::rpc
