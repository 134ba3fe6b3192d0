// The methods of one service: name, who may call it, and the handler. Filled at start-up, read-only
// afterwards, so any thread may look up. Both doors of a service, unary methods and the `Calls`
// stream, go through the same table.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libs/rpc/call.hpp"
#include "raymesh/common/v1/calls.pb.h"

namespace raymesh::rpc {

/// Who may call a method. Bits, so that a method may name several.
enum CallerMask : uint8_t {
  kCallerGateway = 1,  // the gateway: the only one whose CallContext is believed
  kCallerToken = 2,    // a program with a service token: acts in the token's project only
  kCallerCli = 4,      // the operator's command line
  kCallerService = 8,  // another service of the cluster
};

/// One method, its message types erased: what the `Calls` stream needs.
class Method {
 public:
  Method(std::string method_name, uint8_t may_call)
      : name(std::move(method_name)), callers(may_call) {}
  virtual ~Method() = default;
  /// Parses `payload`, runs the handler, and gives the serialized answer to `sink`.
  virtual void run(CallPtr call, std::string_view payload,
                   std::shared_ptr<ReplySink> sink) const = 0;
  /// The same for a call that brings its context in the request's own field `context`, as unary
  /// ones do: `admit` decides about it first. Refused calls are answered by nobody here.
  using Admit = std::function<bool(const common::v1::CallContext&)>;
  virtual void run_with_context(CallPtr call, std::string_view payload, const Admit& admit,
                                std::shared_ptr<ReplySink> sink) const = 0;

  const std::string name;
  const uint8_t callers;
};

template <class Request, class Reply>
class TypedMethod final : public Method {
 public:
  TypedMethod(std::string method_name, uint8_t may_call, Handler<Request, Reply> h)
      : Method(std::move(method_name), may_call), handler(std::move(h)) {}

  void run(CallPtr call, std::string_view payload, std::shared_ptr<ReplySink> sink) const override {
    Request request;
    if (parse(payload, request, *sink)) start(std::move(call), std::move(request), std::move(sink));
  }

  void run_with_context(CallPtr call, std::string_view payload, const Admit& admit,
                        std::shared_ptr<ReplySink> sink) const override {
    Request request;
    if (!parse(payload, request, *sink)) return;
    bool admitted = false;
    if constexpr (requires { request.context(); })
      admitted = admit(request.context());
    else
      admitted = admit(common::v1::CallContext());
    if (admitted) start(std::move(call), std::move(request), std::move(sink));
  }

  const Handler<Request, Reply> handler;

 private:
  bool parse(std::string_view payload, Request& request, ReplySink& sink) const {
    if (request.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) return true;
    sink.reply(Error(errors::kInvalidRequest, name + ": the request message does not parse"));
    return false;
  }

  void start(CallPtr call, Request request, std::shared_ptr<ReplySink> sink) const {
    handler(std::move(call), std::move(request),
            Responder<Reply>([sink = std::move(sink)](Result<Reply> reply) {
              if (reply.ok())
                sink->reply(reply->SerializeAsString());
              else
                sink->reply(std::move(reply).error());
            }));
  }
};

class Http2Connection;
class StreamHandler;

/// A method whose both sides are streams, other than `Calls`: the service deals with its messages
/// itself.
struct StreamMethod {
  /// Makes the handler of a stream that a caller has opened, on the connection's thread, and sends
  /// the answer's headers.
  using Open = std::function<Result<std::shared_ptr<StreamHandler>>(Http2Connection& connection,
                                                                    int32_t stream)>;
  std::string name;
  uint8_t callers = 0;
  size_t max_message_bytes = 0;
  Open open;
};

class MethodTable {
 public:
  template <class Request, class Reply>
  void add(std::string name, uint8_t callers, Handler<Request, Reply> handler) {
    auto method = std::make_unique<TypedMethod<Request, Reply>>(name, callers, std::move(handler));
    methods_[std::move(name)] = std::move(method);
  }

  void add_stream(StreamMethod method) { streams_.push_back(std::move(method)); }

  /// nullptr: none.
  const StreamMethod* find_stream(std::string_view name) const {
    for (const StreamMethod& method : streams_)
      if (method.name == name) return &method;
    return nullptr;
  }
  /// nullptr: no such method.
  const Method* find(std::string_view name) const {
    auto it = methods_.find(name);
    return it == methods_.end() ? nullptr : it->second.get();
  }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  std::unordered_map<std::string, std::unique_ptr<Method>, Hash, std::equal_to<>> methods_;
  std::vector<StreamMethod> streams_;
};

}  // namespace raymesh::rpc
