// The service's side: a gRPC server with health, reflection, the typed service and its `Calls`
// stream. Owned by the service's app; start and stop from one thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>

#include "libs/rpc/credentials.hpp"
#include "libs/rpc/method_table.hpp"
#include "raymesh/common/v1/calls.pb.h"

namespace raymesh::rpc {

struct ServerLimits {
  size_t max_calls_per_stream = 65'536;
  size_t max_calls_per_project = 8'192;
  size_t max_request_bytes = 16u << 20;
  size_t max_streams = 256;
};

struct ServerConfig {
  std::string name;     // "storage"
  std::string address;  // "127.0.0.1:5002"; empty: in-process only
  ServerCredentials credentials;
  ServerLimits limits;
};

/// Decides who calls (certificate, cluster key, service token) and runs methods for both doors.
class Dispatcher;

/// Body of a unary method of a CallbackService:
///   return rpc::serve_unary(dispatcher_, "Query", context, request, reply);
template <class Request, class Reply>
grpc::ServerUnaryReactor* serve_unary(Dispatcher& dispatcher, std::string_view method,
                                      grpc::CallbackServerContext* context, const Request* request,
                                      Reply* reply);

/// Body of the `Calls` method.
grpc::ServerBidiReactor<common::v1::ClientBatch, common::v1::ServerBatch>* serve_calls(
    Dispatcher& dispatcher, grpc::CallbackServerContext* context);

class Server {
 public:
  /// `make_service` gets the dispatcher that its unary methods and Calls hand over to.
  static Result<std::unique_ptr<Server>> start(
      ServerConfig config, MethodTable methods,
      const std::function<std::unique_ptr<grpc::Service>(Dispatcher&)>& make_service);
  virtual ~Server() = default;

  /// The port, when the address asked for port 0.
  virtual int port() const = 0;
  virtual std::shared_ptr<grpc::Channel> in_process_channel() = 0;
  /// What the standard health service answers.
  virtual void set_serving(bool serving) = 0;
  /// Health off, Drain on every stream, wait for calls in flight up to `grace`, then stop.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace raymesh::rpc
