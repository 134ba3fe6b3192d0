// The methods of one service: name, who may call it, and the handler. Filled at start-up, read-only
// afterwards, so any thread may look up. Both doors of a service, unary methods and the `Calls`
// stream, go through the same table.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "libs/rpc/call.hpp"

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
    if (!request.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
      sink->reply(Error(errors::kInvalidRequest, name + ": the request message does not parse"));
      return;
    }
    handler(std::move(call), std::move(request),
            Responder<Reply>([sink = std::move(sink)](Result<Reply> reply) {
              if (reply.ok())
                sink->reply(reply->SerializeAsString());
              else
                sink->reply(std::move(reply).error());
            }));
  }

  const Handler<Request, Reply> handler;
};

class MethodTable {
 public:
  template <class Request, class Reply>
  void add(std::string name, uint8_t callers, Handler<Request, Reply> handler) {
    auto method = std::make_unique<TypedMethod<Request, Reply>>(name, callers, std::move(handler));
    methods_[std::move(name)] = std::move(method);
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
};

}  // namespace raymesh::rpc
