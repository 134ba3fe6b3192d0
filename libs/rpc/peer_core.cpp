#include "libs/rpc/peer_core.hpp"

#include <algorithm>

#include "libs/rpc/credentials.hpp"
#include "libs/rpc/timers.hpp"
#include "raymesh/common/v1/calls.pb.h"

namespace raymesh::rpc {
namespace {

uint64_t mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

// Longer timeouts are kept by us alone; the service has a bound of its own.
constexpr int64_t kMaxTimeoutMs = 3'600'000;

// Ending a stream of ours is a matter of milliseconds; nothing may hang on it.
constexpr std::chrono::seconds kCloseTimeout{5};

// Assigning an empty string keeps the memory, and a slot may rest for long.
void free_memory(std::string& text) {
  std::string().swap(text);
}

// True on a thread that runs a stream's reaction: it must not wait for streams to end.
thread_local bool t_in_completion = false;

}  // namespace

uint64_t affinity_score(uint64_t affinity, std::string_view address) {
  return mix(affinity ^ mix(std::hash<std::string_view>{}(address)));
}

PeerShared::PeerShared(const PeerConfig& config)
    : projects(config.limits.max_calls_per_project),
      probe(config.metrics, "client", role_of_service(config.service)) {}

PeerCore::PeerCore(PeerConfig config, std::shared_ptr<const Dialer> dialer,
                   std::shared_ptr<PeerShared> shared, Place place)
    : config_(std::move(config)),
      dialer_(std::move(dialer)),
      shared_(std::move(shared)),
      place_(place) {}

PeerCore::~PeerCore() = default;

void PeerCore::run(Completed& completed) {
  const bool outer = std::exchange(t_in_completion, true);
  for (auto& [done, result] : completed) done(std::move(result));
  completed.clear();
  t_in_completion = outer;
}

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

PeerCore::Slot* PeerCore::find_on(const CallsClient& stream, uint64_t id) {
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
  if (closed_) {
    lock.unlock();
    return refuse(errors::kUnavailable, "the process is stopping");
  }
  if (live_ >= limits.max_calls) {
    lock.unlock();
    return refuse(errors::kOverloaded, config_.service + " has too many calls in flight");
  }
  if (auto admitted = shared_->projects.admit(context.project()); !admitted.ok()) {
    lock.unlock();
    done(std::move(admitted).error());
    return 0;
  }
  used_ = true;
  shared_->probe.in_flight_changed(1);
  Slot& slot = allocate();
  slot.started = now;
  slot.probe = &shared_->probe.method(method);
  slot.repeat = options.repeat;
  slot.affinity = options.affinity;
  slot.deadline = now + options.timeout;
  slot.method.assign(method);
  slot.context.clear();
  frames::append_context(
      slot.context, {context.project(), context.user(), context.session(), context.traceparent(),
                     context.request_id(), context.client_address()});
  slot.project.assign(context.project());
  slot.payload = std::move(payload);
  slot.done = std::move(done);
  const uint64_t ticket = ticket_of(slot);
  CallsClient* stream = choose(slot.affinity);
  if (!stream) {
    wait(slot, std::min(slot.deadline, now + limits.max_wait));
    return ticket;
  }
  arm(slot.deadline, ticket);
  send(slot, *stream);
  flush(*stream);
  return ticket;
}

void PeerCore::cancel(uint64_t ticket) {
  Completed completed;
  {
    Lock lock(mutex_);
    Slot* slot = find(ticket);
    if (!slot) return;
    CallsClient* stream = slot->stream;
    if (stream) stream->outbox.add_cancel(slot->id);
    end(*slot, Error(errors::kCancelled, "the caller has cancelled the call"), completed);
    if (stream) flush(*stream);
  }
  run(completed);
}

void PeerCore::send(Slot& slot, CallsClient& stream) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(slot.deadline - Clock::now()).count();
  slot.state = State::kQueued;
  slot.stream = &stream;
  slot.id = ++stream.sequence << kIndexBits | slot.index;
  ++slot.attempts;
  ++stream.in_flight;
  frames::CallParts parts{
      .method = slot.method,
      .timeout_ms = static_cast<uint32_t>(std::clamp<int64_t>(left, 1, kMaxTimeoutMs)),
      .context = slot.context,
      .payload = slot.payload,
      .credit = config_.limits.initial_credit};
  slot.large = slot.payload.size() > frames::kChunkBytes;
  if (slot.large) {
    parts.payload = {};
    parts.more = true;
  }
  slot.segment = stream.outbox.add_call(slot.id, parts);
  if (!slot.large) return;
  slot.transfer = {};
  slot.transfer.id = slot.id;
  slot.transfer.after = slot.segment + 1;
  slot.transfer.body = slot.payload;
  slot.transfer.credit = frames::kRequestCredit;
  stream.outbox.start(slot.transfer);
}

void PeerCore::wait(Slot& slot, Clock::time_point until) {
  slot.state = State::kWaiting;
  slot.wait_until = until;
  // Calls that ended while they waited are swept out, so that a long outage costs no memory.
  if (waiting_.size() > 2 * live_ + 64)
    std::erase_if(waiting_, [this](uint64_t ticket) { return find(ticket) == nullptr; });
  waiting_.push_back(ticket_of(slot));
  arm(until, ticket_of(slot));
}

void PeerCore::detach(Slot& slot) {
  reply_bytes_ -= slot.reply.size();
  free_memory(slot.reply);
  slot.ungranted = 0;
  if (!slot.stream) return;
  slot.stream->outbox.drop(slot.transfer);
  free_memory(slot.transfer.body);
  slot.transfer = {};
  --slot.stream->in_flight;
  slot.stream = nullptr;
}

void PeerCore::end(Slot& slot, Result<std::string> result, Completed& completed) {
  slot.probe->ended(result.ok() ? nullptr : result.error().kind, Clock::now() - slot.started);
  completed.emplace_back(std::move(slot.done), std::move(result));
  detach(slot);
  shared_->projects.release(slot.project);
  shared_->probe.in_flight_changed(-1);
  slot.state = State::kFree;
  slot.attempts = 0;
  free_memory(slot.payload);
  ++slot.generation;
  free_.push_back(slot.index);
  --live_;
}

bool PeerCore::usable(const CallsClient* stream) {
  return stream && stream->up && !stream->draining && !stream->broken;
}

CallsClient* PeerCore::choose(uint64_t affinity) {
  CallsClient* best = nullptr;
  uint64_t best_score = 0;
  ++turn_;  // among equals everyone has a turn
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    const Endpoint& endpoint = *endpoints_[(turn_ + i) % endpoints_.size()];
    CallsClient* stream = endpoint.stream.get();
    if (!usable(stream)) continue;
    // Highest score: rendezvous hashing for affinity, else the fewest calls in flight.
    const uint64_t score = affinity ? mix(affinity ^ mix(endpoint.hash)) : ~stream->in_flight;
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
      CallsClient* stream = choose(slot->affinity);
      if (!stream) return;
      arm(slot->deadline, waiting_.front());
      send(*slot, *stream);
    }
    waiting_.pop_front();
  }
}

// ---- Deadlines ----

void PeerCore::arm(Clock::time_point at, uint64_t ticket) {
  deadlines_.add(at, ticket, live_, [this](uint64_t key) { return find(key) != nullptr; });
  set_timer();
}

void PeerCore::set_timer() {
  const auto at = deadlines_.timer_to_set();
  if (!at) return;
  Timers::shared().at(*at, [weak = weak_from_this(), at = *at] {
    if (auto self = weak.lock()) self->on_timer(at);
  });
}

void PeerCore::on_timer(Clock::time_point at) {
  Completed completed;
  {
    Lock lock(mutex_);
    deadlines_.timer_came(at);
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
            Error(errors::kUnavailable,
                  "no endpoint of " + config_.service + " is up" +
                      (last_failure_.empty() ? "" : ": " + last_failure_),
                  kRetryAfter),
            completed);
      }
    }
    set_timer();
    flush_all();
  }
  run(completed);
}

// ---- The end ----

bool PeerCore::take_used() {
  Lock lock(mutex_);
  return std::exchange(used_, false);
}

bool PeerCore::ready() const {
  Lock lock(mutex_);
  return std::any_of(endpoints_.begin(), endpoints_.end(),
                     [](const EndpointPtr& e) { return usable(e->stream.get()); });
}

void PeerCore::post(net::IoThreads::Task task) {
  Lock lock(mutex_);
  if (!detached_) place_.threads->post(place_.index, std::move(task));
}

void PeerCore::close() {
  Completed completed;
  std::vector<std::shared_ptr<CallsClient>> streams;
  {
    Lock lock(mutex_);
    closed_ = true;
    for (Slot& slot : slots_) {
      if (slot.state == State::kFree) continue;
      end(slot, Error(errors::kUnavailable, "the process is stopping"), completed);
    }
    streams = streams_;
    endpoints_.clear();
  }
  run(completed);
  for (const auto& stream : streams) stream->abort();
}

void PeerCore::wait_closed() {
  Lock lock(mutex_);
  if (!t_in_completion && !place_.threads->here())
    streams_ended_.wait_for(lock, kCloseTimeout, [this] { return streams_.empty(); });
  detached_ = true;
}

}  // namespace raymesh::rpc
