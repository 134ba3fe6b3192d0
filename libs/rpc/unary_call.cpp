#include "libs/rpc/unary_call.hpp"

#include <algorithm>

#include "libs/rpc/dispatcher.hpp"
#include "libs/rpc/error_wire.hpp"

namespace raymesh::rpc {
namespace {

// For calls without a deadline: a bound all the same.
constexpr std::chrono::milliseconds kMaxTimeout = std::chrono::minutes(10);

}  // namespace

UnaryCall::UnaryCall(Dispatcher& dispatcher, grpc::CallbackServerContext* context)
    : dispatcher_(dispatcher), context_(context) {}

UnaryCall::~UnaryCall() = default;

const Method* UnaryCall::begin(std::string_view method, const common::v1::CallContext& context) {
  keep_ = shared_from_this();
  call_ = std::make_shared<Call>();
  started_ = Clock::now();
  const auto left = context_->deadline() - std::chrono::system_clock::now();
  call_->deadline = started_ + std::min<Clock::duration>(
                                   std::chrono::duration_cast<Clock::duration>(left), kMaxTimeout);
  const auto refuse = [this](const Error& error) {
    finish_error(error);
    return nullptr;
  };
  auto caller = dispatcher_.identify(*context_);
  if (!caller.ok()) return refuse(caller.error());
  auto found = dispatcher_.authorize(method, *caller);
  if (!found.ok()) return refuse(found.error());
  const frames::ContextBody body{context.project(),    context.user(),
                                 context.session(),    context.traceparent(),
                                 context.request_id(), context.client_address()};
  auto accepted = dispatcher_.accept_context(*call_, *caller, body);
  if (!accepted.ok()) return refuse(accepted.error());
  auto admitted = dispatcher_.admit(call_->project);
  if (!admitted.ok()) return refuse(admitted.error());
  probe_ = &dispatcher_.probe().method((*found)->name);
  return *found;
}

void UnaryCall::ended(const ErrorKind* error) {
  if (probe_)
    probe_->ended(error, Clock::now() - started_);
  else if (error)
    dispatcher_.probe().refused(*error);
}

void UnaryCall::finish() {
  ended(nullptr);
  Finish(grpc::Status::OK);
}

void UnaryCall::finish_error(const Error& error) {
  if (!claim()) return;
  ended(error.kind);
  context_->AddTrailingMetadata(kErrorMetadata, error_to_proto(error).SerializeAsString());
  Finish(error_to_status(error));
}

void UnaryCall::OnCancel() {
  if (call_) call_->cancel();
  if (!claim()) return;
  ended(&errors::kCancelled);
  Finish(grpc::Status::CANCELLED);
}

void UnaryCall::OnDone() {
  if (probe_) dispatcher_.release(call_->project);
  auto keep = std::move(keep_);
}

}  // namespace raymesh::rpc
