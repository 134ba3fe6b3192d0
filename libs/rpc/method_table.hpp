// The methods of one service: name, who may call it, whether repeating it is safe, and the handler.
// Filled at start-up, read-only afterwards, so any thread may look up. Both doors of a service,
// unary methods and the `Calls` stream, go through the same table.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "libs/rpc/call.hpp"

namespace raymesh::rpc {

/// Who may call a method. Bits, so that a method may name several.
enum CallerMask : uint8_t {
  kCallerGateway = 1,  // the gateway: the only one whose CallContext is believed
  kCallerToken = 2,    // a program with a service token: acts in the token's project only
  kCallerCli = 4,      // the operator's command line
};

struct Method {
  std::string name;
  uint8_t callers = kCallerGateway;
  /// Parses `payload`, runs the handler, and gives the serialized answer.
  std::function<void(CallPtr, std::string_view payload, UniqueFunction<void(Result<std::string>)>)>
      run;
};

class MethodTable {
 public:
  template <class Request, class Reply>
  void add(std::string name, uint8_t callers, Handler<Request, Reply> handler) {
    Method m;
    m.name = name;
    m.callers = callers;
    m.run = [handler, name](CallPtr call, std::string_view payload,
                            UniqueFunction<void(Result<std::string>)> done) {
      Request request;
      if (!request.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
        done(Error(errors::kInvalidRequest, name + ": the request message does not parse"));
        return;
      }
      handler(std::move(call), std::move(request),
              Responder<Reply>([done = std::move(done)](Result<Reply> reply) mutable {
                if (!reply.ok()) {
                  done(std::move(reply).error());
                  return;
                }
                std::string bytes;
                reply->SerializeToString(&bytes);
                done(std::move(bytes));
              }));
    };
    methods_.emplace(std::move(name), std::move(m));
  }

  const Method* find(std::string_view name) const {
    auto it = methods_.find(name);
    return it == methods_.end() ? nullptr : &it->second;
  }

 private:
  std::map<std::string, Method, std::less<>> methods_;
};

}  // namespace raymesh::rpc
