#include "libs/rpc/calls_stream.hpp"

#include <algorithm>
#include <cstring>

#include "libs/rpc/error_wire.hpp"
#include "libs/rpc/slices.hpp"
#include "libs/rpc/timers.hpp"

namespace raymesh::rpc {
namespace {

// Above this much to send, no more is read: a caller that does not take its answers gets no more
// of them.
constexpr size_t kMaxWaitingBytes = 4u << 20;
constexpr std::chrono::milliseconds kMaxTimeout = std::chrono::minutes(10);

class RefusedStream final : public CallsReactor {
 public:
  RefusedStream(Dispatcher& dispatcher, grpc::CallbackServerContext* context, const Error& error) {
    dispatcher.probe().refused(*error.kind);
    context->AddTrailingMetadata(kErrorMetadata, error_to_proto(error).SerializeAsString());
    Finish(error_to_status(error));
  }
  void OnDone() override { delete this; }
};

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

CallsReactor* serve_calls(Dispatcher& dispatcher, grpc::CallbackServerContext* context) {
  auto caller = dispatcher.identify(*context);
  if (!caller.ok()) return new RefusedStream(dispatcher, context, caller.error());
  auto stream = std::make_shared<CallsStream>(dispatcher, std::move(*caller));
  auto opened = dispatcher.open_stream(stream);
  if (!opened.ok()) return new RefusedStream(dispatcher, context, opened.error());
  stream->start();
  return stream.get();
}

CallsStream::CallsStream(Dispatcher& dispatcher, Caller caller)
    : dispatcher_(dispatcher), caller_(std::move(caller)) {}

CallsStream::~CallsStream() = default;

void CallsStream::start() {
  keep_ = shared_from_this();
  StartSendInitialMetadata();  // tells the caller that the stream is up
  read();
}

void CallsStream::read() {
  StartRead(&incoming_);
}

void CallsStream::drain() {
  Lock lock(mutex_);
  if (finished_ || cancelled_) return;
  outbox_.add_frame(0, frames::kDrain, {});
  flush(std::move(lock));
}

void CallsStream::OnReadDone(bool ok) {
  if (!ok) {
    Lock lock(mutex_);
    reads_done_ = true;
    flush(std::move(lock));
    return;
  }
  {
    Lock lock(mutex_);
    corked_ = true;
  }
  bool well_formed = false;
  if (auto batch = slices::flatten(incoming_, frames::kMaxMessageBytes)) {
    frames::Reader reader(slices::view(*batch));
    for (frames::Field f; reader.next(f);)
      if (f.number == 1) on_frame(f.bytes);
    well_formed = reader.ok();
  }
  Lock lock(mutex_);
  corked_ = false;
  // Bytes that are not a batch: nothing that follows can be trusted to be one.
  if (!well_formed) cancelled_ = true;
  read_paused_ = outbox_.waiting_bytes() > kMaxWaitingBytes;
  const bool go_on = !read_paused_ && !cancelled_;
  if (!well_formed) abandon_all();
  flush(std::move(lock));
  if (go_on) read();
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
    arm_deadline(call->deadline, id);
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

void CallsStream::on_deadline() {
  Lock lock(mutex_);
  alarm_ = Clock::time_point::max();
  if (cancelled_) return;
  const auto now = Clock::now();
  while (auto id = deadlines_.pop(now)) {
    auto call = find(*id);
    if (!call) continue;
    call->cancel();
    outbox_.add_error(*id, Error(errors::kDeadlineExceeded, "the call's time was up"));
    erase(*call, &errors::kDeadlineExceeded);
  }
  if (auto next = deadlines_.next()) arm_deadline(*next, 0);
  flush(std::move(lock));
}

void CallsStream::arm_deadline(Clock::time_point at, uint64_t id) {
  if (id != 0)
    deadlines_.add(at, id, calls_.size(), [this](uint64_t key) { return calls_.contains(key); });
  if (at >= alarm_) return;
  alarm_ = at;
  Timers::shared().at(at, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->on_deadline();
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
  if (corked_ || writing_ || finished_) return;
  if (!cancelled_ && !outbox_.empty()) {
    Transfer* sent = nullptr;
    std::string batch = outbox_.take(sent);
    dispatcher_.probe().batch_sent(batch.size());
    outgoing_ = slices::from_string(std::move(batch));
    if (sent) {
      auto call = find(sent->id);
      erase(*call, nullptr);
    }
    writing_ = true;
    lock.unlock();
    StartWrite(&outgoing_);
    return;
  }
  if (cancelled_ || (reads_done_ && calls_.empty())) {
    finished_ = true;
    const bool cancelled = cancelled_;
    lock.unlock();
    Finish(cancelled ? grpc::Status::CANCELLED : grpc::Status::OK);
  }
}

void CallsStream::OnWriteDone(bool ok) {
  Lock lock(mutex_);
  writing_ = false;
  if (!ok && !cancelled_) {
    cancelled_ = true;
    abandon_all();
  }
  const bool resume =
      read_paused_ && !cancelled_ && outbox_.waiting_bytes() <= kMaxWaitingBytes / 2;
  if (resume) read_paused_ = false;
  flush(std::move(lock));
  if (resume) read();
}

void CallsStream::OnCancel() {
  Lock lock(mutex_);
  cancelled_ = true;
  abandon_all();
  flush(std::move(lock));
}

void CallsStream::OnDone() {
  {
    Lock lock(mutex_);
    cancelled_ = true;
    abandon_all();
  }
  dispatcher_.close_stream(this);
  auto keep = std::move(keep_);
}

}  // namespace raymesh::rpc
