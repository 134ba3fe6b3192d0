// The part of PeerCore that deals with endpoints, their streams and what comes in on them.
#include <algorithm>

#include "libs/rpc/client_stream.hpp"
#include "libs/rpc/peer_core.hpp"
#include "libs/rpc/slices.hpp"
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
  flush_all(std::move(lock));
  for (const auto& endpoint : added) connect(endpoint);
}

std::shared_ptr<ClientStream> PeerCore::make_stream(std::shared_ptr<grpc::Channel> channel) {
  ++undestroyed_;
  auto* stream = new ClientStream(shared_from_this(), std::move(channel), cluster_key_);
  // Destroyed on the timer thread, whoever lets go of it last: with the process's last channel go
  // gRPC's callback threads, and they cannot join themselves (gRPC 1.51 aborts).
  return std::shared_ptr<ClientStream>(stream, [self = shared_from_this()](ClientStream* s) {
    Timers::shared().at(Clock::now(), [self, owned = std::unique_ptr<ClientStream>(s)]() mutable {
      owned.reset();
      Lock lock(self->mutex_);
      --self->undestroyed_;
      self->streams_ended_.notify_all();
    });
  });
}

void PeerCore::connect(const EndpointPtr& endpoint) {
  auto channel = make_channel_(endpoint->address);
  std::shared_ptr<ClientStream> stream;
  {
    Lock lock(mutex_);
    if (shutdown_ || endpoint->removed || endpoint->stream) return;
    stream = make_stream(std::move(channel));
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
  if (shutdown_ || endpoint->removed) return;
  Timers::shared().at(Clock::now() + endpoint->backoff.next(), [weak = weak_from_this(), endpoint] {
    auto self = weak.lock();
    if (!self) return;
    {
      // Under the lock, because the metrics may be gone as soon as close() has returned.
      Lock lock(self->mutex_);
      if (self->shutdown_) return;
      self->probe_.reconnect();
    }
    self->connect(endpoint);
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
  probe_.stream_up();
  if (auto endpoint = endpoint_of(stream)) {
    if (endpoint->warned)
      log::info("connected again", {{"peer", config_.service}, {"endpoint", endpoint->address}});
    endpoint->warned = false;
  }
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
  Completed completed;
  {
    Lock lock(mutex_);
    stream.broken = true;
    if (stream.up) probe_.stream_down();
    fail_over(stream, completed);
    if (auto endpoint = endpoint_of(stream)) {
      note_end(*endpoint, stream, status);
      endpoint->stream = nullptr;
      reconnect_later(endpoint);
    }
    place_waiting();
    std::erase_if(streams_, [&](const auto& s) { return s.get() == &stream; });
    flush_all(std::move(lock));
  }
  run(completed);
}

void PeerCore::note_end(Endpoint& endpoint, const ClientStream& stream,
                        const grpc::Status& status) {
  if (stream.up && Clock::now() - stream.up_since > kGoodStream) endpoint.backoff.reset();
  last_failure_ = status.error_message();
  if (closed_ || endpoint.warned) return;
  endpoint.warned = true;
  log::warn("connection lost", {{"peer", config_.service},
                                {"endpoint", endpoint.address},
                                {"status", static_cast<int>(status.error_code())},
                                {"reason", status.error_message()}});
}

void PeerCore::fail_over(ClientStream& stream, Completed& completed) {
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
      wait(slot, slot.deadline);
    }
  }
}

// ---- gRPC operations ----

PeerCore::Action PeerCore::next_action(ClientStream& stream) {
  if (stream.writing) return Action::kNone;
  if (stream.broken) return std::exchange(stream.held, false) ? Action::kRelease : Action::kNone;
  if (!stream.outbox.empty()) {
    Transfer* sent = nullptr;
    std::string batch = stream.outbox.take(sent);
    probe_.batch_sent(batch.size());
    probe_.in_flight(live_);
    stream.outgoing = slices::from_string(std::move(batch));
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
