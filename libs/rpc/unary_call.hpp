// The unary door of a service: one reactor per call, answered once by the handler's Responder, by
// cancellation or by the deadline, whichever is first. gRPC owns it through `keep_` until OnDone;
// the Responder may come later and then finds the call closed.
#pragma once

#include <atomic>
#include <memory>
#include <string_view>

#include <grpcpp/grpcpp.h>

#include "libs/rpc/method_table.hpp"
#include "libs/rpc/probe.hpp"
#include "raymesh/common/v1/calls.pb.h"

namespace raymesh::rpc {

class Dispatcher;

class UnaryCall : public grpc::ServerUnaryReactor, public std::enable_shared_from_this<UnaryCall> {
 public:
  UnaryCall(Dispatcher& dispatcher, grpc::CallbackServerContext* context);
  ~UnaryCall() override;

  /// Decides who calls and whether it may. nullptr: refused, and answered so.
  const Method* begin(std::string_view method, const common::v1::CallContext& context);
  const CallPtr& call() const { return call_; }

  /// True for the first caller only: it must finish.
  bool claim() { return !answered_.exchange(true); }
  /// Only after `claim`. The answer is in the reply message.
  void finish();
  void finish_error(const Error& error);

  void OnCancel() override;
  void OnDone() override;

 private:
  void ended(const ErrorKind* error);

  Dispatcher& dispatcher_;
  grpc::CallbackServerContext* context_;
  CallPtr call_;
  Probe::Method* probe_ = nullptr;  // set when the call was admitted
  Clock::time_point started_;
  std::atomic<bool> answered_{false};
  std::shared_ptr<UnaryCall> keep_;
};

/// Body of a unary method of a service:
///   return rpc::serve_unary(dispatcher(), "Query", context, request, reply);
template <class Request, class Reply>
grpc::ServerUnaryReactor* serve_unary(Dispatcher& dispatcher, std::string_view method,
                                      grpc::CallbackServerContext* context, const Request* request,
                                      Reply* reply) {
  auto unary = std::make_shared<UnaryCall>(dispatcher, context);
  const Method* found = nullptr;
  if constexpr (requires { request->context(); })
    found = unary->begin(method, request->context());
  else
    found = unary->begin(method, common::v1::CallContext());
  if (!found) return unary.get();
  auto* typed = dynamic_cast<const TypedMethod<Request, Reply>*>(found);
  if (!typed) {
    unary->finish_error(
        Error(errors::kInternal, std::string(method) + ": registered with other types"));
    return unary.get();
  }
  grpc::ServerUnaryReactor* reactor = unary.get();
  CallPtr call = unary->call();
  typed->handler(std::move(call), Request(*request),
                 Responder<Reply>([unary = std::move(unary), reply](Result<Reply> answer) {
                   if (!answer.ok()) {
                     unary->finish_error(answer.error());
                   } else if (unary->claim()) {
                     *reply = std::move(*answer);
                     unary->finish();
                   }
                 }));
  return reactor;
}

}  // namespace raymesh::rpc
