#include "libs/rpc/calls_stream.hpp"

#include <algorithm>
#include <cstring>

#include "libs/rpc/grpc_wire.hpp"
#include "libs/rpc/timers.hpp"

namespace raymesh::rpc {
namespace {

// Above this much to send, no more is read: a caller that does not take its answers gets no more
// of them.
constexpr size_t kMaxWaitingBytes = 4u << 20;
constexpr std::chrono::milliseconds kMaxTimeout = std::chrono::minutes(10);

// What may wait in the connection: above it, small frames of later answers overtake what is still
// here, in the outbox.
constexpr size_t kMaxUnsentBytes = 128u << 10;

}  // namespace

// One call of the stream. All fields below `method` are guarded by the stream's mutex.
struct CallsStream::StreamCall final : Call, ReplySink {
  StreamCall(std::shared_ptr<CallsStream> s, uint64_t i) : stream(std::move(s)), id(i) {
    transfer.id = i;
  }
  void reply(Result<std::string> result) override { stream->answer(*this, std::move(result)); }

  const std::shared_ptr<CallsStream> stream;
  const uint64_t id;
  const Method* method = nullptr;
  Probe::Method* probe = nullptr;
  Clock::time_point started;

  std::string request;  // collects chunks, while `receiving`
  bool receiving = false;
  uint32_t ungranted = 0;     // bytes of the request since the last Credit
  Transfer transfer;          // the reply, when it goes in chunks
  uint64_t reply_credit = 0;  // until the reply is there
  size_t held = 0;            // counted in held_bytes_
  bool ended = false;
};

CallsStream::CallsStream(Dispatcher& dispatcher, Caller caller, Http2Connection& connection,
                         Http2Session::StreamId id)
    : dispatcher_(dispatcher),
      caller_(std::move(caller)),
      weak_connection_(connection.weak_from_this()),
      connection_(&connection),
      stream_id_(id) {}

CallsStream::~CallsStream() = default;

void CallsStream::start() {
  connection_->send_headers(stream_id_, grpc_wire::answer_headers());
}

void CallsStream::drain() {
  Lock lock(mutex_);
  if (finished_ || cancelled_) return;
  outbox_.add_frame(0, frames::kDrain, {});
  flush(std::move(lock));
}

void CallsStream::on_message(std::string_view batch) {
  frames::Reader reader(batch);
  for (frames::Field f; reader.next(f);)
    if (f.number == 1) on_frame(f.bytes);
  // Bytes that are not a batch: nothing that follows can be trusted to be one.
  if (!reader.ok()) return on_bad_message("the batch does not parse", false);
  Lock lock(mutex_);
  if (!read_paused_ && !cancelled_ && outbox_.waiting_bytes() > kMaxWaitingBytes) {
    read_paused_ = true;
    connection_->pause(stream_id_);
  }
  flush(std::move(lock));  // credit that the frames gave or took
}

void CallsStream::on_bad_message(std::string_view why, bool too_large) {
  Lock lock(mutex_);
  if (cancelled_) return;
  cancelled_ = finished_ = true;
  abandon_all();
  connection_->send_failure(
      stream_id_,
      Error(too_large ? errors::kMessageTooLarge : errors::kInvalidRequest, std::string(why)));
  flush(std::move(lock));
}

void CallsStream::on_end() {
  Lock lock(mutex_);
  reads_done_ = true;
  flush(std::move(lock));
}

void CallsStream::on_frame(std::string_view bytes) {
  frames::Frame frame;
  if (!frames::parse_frame(bytes, frame))
    return fail(0, Error(errors::kInvalidRequest, "a frame does not parse"));
  switch (frame.field) {
    case frames::kCall:
      return on_call(frame.id, frame.body);
    case frames::kChunk:
      return on_chunk(frame.id, frame.body);
    case frames::kCredit:
      return on_credit(frame.id, frame.body);
    case frames::kCancel:
      return on_cancel(frame.id);
    default:
      return fail(frame.id, Error(errors::kInvalidRequest, "a frame of no known kind"));
  }
}

CallsStream::StreamCallPtr CallsStream::find(uint64_t id) {
  auto it = calls_.find(id);
  return it == calls_.end() ? nullptr : it->second;
}

void CallsStream::on_call(uint64_t id, std::string_view body) {
  {
    Lock lock(mutex_);
    if (cancelled_) return;
    if (id <= last_id_) {
      lock.unlock();
      return fail(id, Error(errors::kInvalidRequest, "a call's id was used before or is 0"));
    }
    last_id_ = id;
    if (calls_.size() >= dispatcher_.limits().max_calls_per_stream ||
        held_bytes_ >= dispatcher_.limits().max_stream_bytes) {
      lock.unlock();
      return fail(id, Error(errors::kOverloaded, "the stream has too many calls in flight",
                            std::chrono::milliseconds(100)));
    }
  }
  frames::CallBody parsed;
  if (!frames::parse_call(body, parsed))
    return fail(id, Error(errors::kInvalidRequest, "a Call frame does not parse"));
  if (parsed.timeout_ms == 0)
    return fail(id, Error(errors::kInvalidRequest, "a call without a timeout"));
  auto method = dispatcher_.authorize(parsed.method, caller_);
  if (!method.ok()) return fail(id, method.error());

  auto call = std::make_shared<StreamCall>(shared_from_this(), id);
  auto accepted = dispatcher_.accept_context(*call, caller_, parsed.context);
  if (!accepted.ok()) return fail(id, accepted.error());
  auto admitted = dispatcher_.admit(call->project);
  if (!admitted.ok()) return fail(id, admitted.error());

  call->method = *method;
  call->probe = &dispatcher_.probe().method((*method)->name);
  call->started = Clock::now();
  call->deadline =
      call->started + std::min(std::chrono::milliseconds(parsed.timeout_ms), kMaxTimeout);
  call->reply_credit = parsed.credit;
  call->receiving = parsed.more;
  {
    Lock lock(mutex_);
    if (cancelled_) {
      lock.unlock();
      dispatcher_.release(call->project);
      return;
    }
    if (parsed.more) {
      call->request.assign(parsed.payload);
      call->ungranted = static_cast<uint32_t>(parsed.payload.size());
      call->held = call->request.size();
      held_bytes_ += call->held;
    }
    calls_.emplace(id, call);
    deadlines_.add(call->deadline, id, calls_.size(),
                   [this](uint64_t key) { return calls_.contains(key); });
    set_timer();
  }
  if (parsed.more) return;
  const Method* run = call->method;
  CallPtr handed = call;
  run->run(std::move(handed), parsed.payload, std::move(call));
}

void CallsStream::on_chunk(uint64_t id, std::string_view body) {
  frames::ChunkBody chunk;
  if (!frames::parse_chunk(body, chunk))
    return fail(id, Error(errors::kInvalidRequest, "a Chunk frame does not parse"));
  Lock lock(mutex_);
  auto call = find(id);
  if (!call) {
    // Chunks may cross with the answer to their call; an id that was never opened is an error.
    const bool unknown = id > last_id_;
    lock.unlock();
    if (unknown) fail(id, Error(errors::kInvalidRequest, "a chunk for a call that does not exist"));
    return;
  }
  const auto refuse = [&](const ErrorKind& kind, std::string message) {
    lock.unlock();
    fail(id, Error(kind, std::move(message)));
  };
  if (chunk.payload.size() > frames::kChunkBytes)
    return refuse(errors::kInvalidRequest,
                  "a chunk is larger than " + std::to_string(frames::kChunkBytes) + " bytes");
  if (!call->receiving)
    return refuse(errors::kInvalidRequest, "a chunk after the end of the request");
  if (call->request.size() + chunk.payload.size() > dispatcher_.limits().max_request_bytes)
    return refuse(errors::kMessageTooLarge,
                  "the request is larger than " +
                      std::to_string(dispatcher_.limits().max_request_bytes) + " bytes");
  if (held_bytes_ + chunk.payload.size() > dispatcher_.limits().max_stream_bytes)
    return refuse(errors::kOverloaded, "the stream holds too much in requests and replies");
  call->request.append(chunk.payload);
  call->held += chunk.payload.size();
  held_bytes_ += chunk.payload.size();
  if (chunk.more) {
    // Credit paces the caller, so that large requests interleave; what bounds the memory are the
    // limits above.
    call->ungranted += static_cast<uint32_t>(chunk.payload.size());
    if (call->ungranted >= frames::kRequestCredit / 2)
      outbox_.add_credit(id, std::exchange(call->ungranted, 0));
    return;
  }
  call->receiving = false;
  held_bytes_ -= std::exchange(call->held, 0);
  const std::string request = std::move(call->request);
  lock.unlock();
  const Method* run = call->method;
  CallPtr handed = call;
  run->run(std::move(handed), request, std::move(call));
}

void CallsStream::on_credit(uint64_t id, std::string_view body) {
  uint32_t bytes = 0;
  if (!frames::parse_credit(body, bytes))
    return fail(id, Error(errors::kInvalidRequest, "a Credit frame does not parse"));
  Lock lock(mutex_);
  auto call = find(id);
  if (!call) return;
  if (call->transfer.body.empty())
    call->reply_credit += bytes;
  else
    outbox_.grant(call->transfer, bytes);
}

void CallsStream::on_cancel(uint64_t id) {
  Lock lock(mutex_);
  auto call = find(id);
  if (!call) return;
  call->cancel();
  erase(*call, &errors::kCancelled);
}

void CallsStream::on_timer(Clock::time_point at) {
  Lock lock(mutex_);
  deadlines_.timer_came(at);
  if (cancelled_) return;
  const auto now = Clock::now();
  while (auto id = deadlines_.pop(now)) {
    auto call = find(*id);
    if (!call) continue;
    call->cancel();
    outbox_.add_error(*id, Error(errors::kDeadlineExceeded, "the call's time was up"));
    erase(*call, &errors::kDeadlineExceeded);
  }
  set_timer();
  flush(std::move(lock));
}

void CallsStream::set_timer() {
  const auto at = deadlines_.timer_to_set();
  if (!at) return;
  Timers::shared().at(*at, [weak = weak_from_this(), at = *at] {
    if (auto self = weak.lock()) self->on_timer(at);
  });
}

void CallsStream::answer(StreamCall& call, Result<std::string> result) {
  Lock lock(mutex_);
  if (call.ended) return;
  auto keep = find(call.id);
  const auto& limits = dispatcher_.limits();
  if (result.ok() && result->size() > limits.max_reply_bytes)
    result = Error(errors::kMessageTooLarge, "the answer is larger than " +
                                                 std::to_string(limits.max_reply_bytes) + " bytes");
  if (result.ok() && held_bytes_ + result->size() > limits.max_stream_bytes)
    result = Error(errors::kOverloaded, "the stream holds too much in requests and replies",
                   std::chrono::milliseconds(100));
  if (!result.ok()) {
    outbox_.add_error(call.id, result.error());
    erase(call, result.error().kind);
  } else if (result->size() <= std::min<uint64_t>(frames::kChunkBytes, call.reply_credit)) {
    outbox_.add_chunk(call.id, *result, false);
    erase(call, nullptr);
  } else {
    call.held += result->size();
    held_bytes_ += result->size();
    call.transfer.body = std::move(*result);
    call.transfer.credit = call.reply_credit;
    outbox_.start(call.transfer);
  }
  flush(std::move(lock));
}

void CallsStream::erase(StreamCall& call, const ErrorKind* error) {
  call.probe->ended(error, Clock::now() - call.started);
  call.ended = true;
  outbox_.drop(call.transfer);
  held_bytes_ -= std::exchange(call.held, 0);
  dispatcher_.release(call.project);
  calls_.erase(call.id);
}

void CallsStream::fail(uint64_t id, const Error& error) {
  Lock lock(mutex_);
  if (cancelled_) return;
  outbox_.add_error(id, error);
  if (auto call = find(id)) {
    call->cancel();
    erase(*call, error.kind);
  } else {
    dispatcher_.probe().refused(*error.kind);
  }
  flush(std::move(lock));
}

void CallsStream::abandon_all() {
  outbox_.clear();
  auto calls = std::move(calls_);
  calls_.clear();
  for (auto& [id, call] : calls) {
    call->cancel();
    call->ended = true;
    call->probe->ended(&errors::kCancelled, Clock::now() - call->started);
    dispatcher_.release(call->project);
  }
  held_bytes_ = 0;
  deadlines_.clear();
}

void CallsStream::flush(Lock lock) {
  const bool ending = reads_done_ && calls_.empty();
  if (turn_due_ || finished_ || (outbox_.empty() && !ending)) return;
  turn_due_ = true;
  lock.unlock();
  if (auto connection = weak_connection_.lock()) connection->wake(shared_from_this());
}

void CallsStream::on_turn() {
  Lock lock(mutex_);
  turn_due_ = false;
  if (cancelled_ || finished_) return;
  while (!outbox_.empty() && connection_->unsent(stream_id_) < kMaxUnsentBytes) {
    Transfer* sent = nullptr;
    const std::string batch = outbox_.take(sent);
    dispatcher_.probe().batch_sent(batch.size());
    connection_->send_message(stream_id_, batch);
    if (sent) {
      auto call = find(sent->id);
      erase(*call, nullptr);
    }
  }
  if (read_paused_ && outbox_.waiting_bytes() <= kMaxWaitingBytes / 2) {
    read_paused_ = false;
    lock.unlock();
    return connection_->resume(stream_id_);  // comes back with what has waited
  }
  if (!reads_done_ || !calls_.empty() || !outbox_.empty()) return;
  finished_ = true;
  connection_->send_end(stream_id_, grpc_wire::ok_trailers());
}

void CallsStream::on_closed(std::string_view) {
  {
    Lock lock(mutex_);
    cancelled_ = true;
    abandon_all();
    connection_ = nullptr;
  }
  dispatcher_.close_stream(this);
}

}  // namespace raymesh::rpc
