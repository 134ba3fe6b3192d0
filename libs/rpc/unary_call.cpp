#include "libs/rpc/unary_call.hpp"

#include <algorithm>

#include "libs/rpc/grpc_wire.hpp"

namespace raymesh::rpc {

UnaryCall::UnaryCall(Dispatcher& dispatcher, const Method& method, Caller caller,
                     std::chrono::nanoseconds timeout, Http2Connection& connection,
                     Http2Session::StreamId id)
    : dispatcher_(dispatcher),
      method_(method),
      weak_connection_(connection.weak_from_this()),
      connection_(&connection),
      stream_id_(id),
      call_(std::make_shared<Call>()),
      started_(Clock::now()) {
  call_->caller = std::move(caller);
  call_->deadline = started_ + timeout;
}

void UnaryCall::on_message(std::string_view message) {
  if (request_) return on_bad_message("a unary method takes one message", false);
  if (!connection_->keep(stream_id_, message.size()))
    return on_bad_message("the connection holds too much in requests that have not ended", true);
  request_ = std::string(message);
}

void UnaryCall::on_bad_message(std::string_view why, bool too_large) {
  reply(Error(too_large ? errors::kMessageTooLarge : errors::kInvalidRequest, std::string(why)));
}

void UnaryCall::on_end() {
  if (!request_) return on_bad_message("the request has no message", false);
  connection_->let_go(stream_id_);
  const std::string request = std::move(*request_);
  method_.run_with_context(
      call_, request, [this](const common::v1::CallContext& context) { return admit(context); },
      shared_from_this());
}

bool UnaryCall::admit(const common::v1::CallContext& context) {
  const frames::ContextBody body{context.project(),    context.user(),
                                 context.session(),    context.traceparent(),
                                 context.request_id(), context.client_address()};
  const Caller caller = call_->caller;
  auto status = dispatcher_.accept_context(*call_, caller, body);
  if (status.ok()) status = dispatcher_.admit(call_->project);
  if (!status.ok()) {
    reply(status.error());
    return false;
  }
  std::unique_lock lock(mutex_);
  admitted_ = !answered_;
  if (admitted_) return true;
  lock.unlock();
  dispatcher_.release(call_->project);
  return false;
}

void UnaryCall::reply(Result<std::string> answer) {
  {
    // To the end of the accounting: on_closed waits here for an answer of another thread, because
    // the dispatcher may go after it. Late answers find the call answered.
    std::lock_guard lock(mutex_);
    if (std::exchange(answered_, true)) return;
    const size_t max = dispatcher_.limits().max_reply_bytes;
    if (answer.ok() && answer->size() > max)
      answer = Error(errors::kMessageTooLarge,
                     "the answer is larger than " + std::to_string(max) + " bytes");
    const ErrorKind* error = answer.ok() ? nullptr : answer.error().kind;
    if (admitted_) {
      dispatcher_.probe().method(method_.name).ended(error, Clock::now() - started_);
      dispatcher_.release(call_->project);
    } else if (error) {
      dispatcher_.probe().refused(*error);
    }
    answer_ = std::move(answer);
  }
  if (auto connection = weak_connection_.lock()) connection->wake(shared_from_this());
}

void UnaryCall::time_is_up() {
  call_->cancel();
  reply(Error(errors::kDeadlineExceeded, "the call's time was up"));
}

void UnaryCall::on_turn() {
  std::optional<Result<std::string>> answer;
  {
    std::lock_guard lock(mutex_);
    answer.swap(answer_);
  }
  if (!answer || !connection_) return;
  // Answers that their caller does not take are bounded like those of a stream.
  if (answer->ok() &&
      connection_->unsent_bytes() + (*answer)->size() > dispatcher_.limits().max_stream_bytes)
    answer = Error(errors::kOverloaded, "the connection holds too much in answers",
                   std::chrono::milliseconds(100));
  if (!answer->ok()) return connection_->send_failure(stream_id_, answer->error());
  connection_->send_headers(stream_id_, grpc_wire::answer_headers());
  connection_->send_message(stream_id_, **answer);
  connection_->send_end(stream_id_, grpc_wire::ok_trailers());
}

void UnaryCall::on_closed(std::string_view) {
  connection_ = nullptr;
  call_->cancel();
  reply(Error(errors::kCancelled, "the caller has gone"));
}

}  // namespace raymesh::rpc
