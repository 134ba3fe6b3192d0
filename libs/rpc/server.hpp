// The service's side: a gRPC server with health, reflection, the typed service and its `Calls`
// stream. Owned by the service's app; start and stop from one thread.
//
//   class StorageService final : public rpc::CallsService<storage::v1::Storage> {
//    public:
//     using CallsService::CallsService;
//     grpc::ServerUnaryReactor* Query(grpc::CallbackServerContext* context,
//                                     const QueryRequest* request, QueryReply* reply) override {
//       return rpc::serve_unary(dispatcher(), "Query", context, request, reply);
//     }
//   };
//   Server::start(config, std::move(methods), rpc::make_service<StorageService>);
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>

#include "libs/rpc/calls_service.hpp"
#include "libs/rpc/credentials.hpp"
#include "libs/rpc/method_table.hpp"
#include "libs/rpc/unary_call.hpp"
#include "libs/telemetry/metrics.hpp"

namespace raymesh::rpc {

/// Bounds of one server. The defaults are what ships.
struct ServerLimits {
  size_t max_calls_per_stream = 65'536;
  size_t max_calls_per_project = 8'192;
  size_t max_request_bytes = 16u << 20;  // on the Calls stream, all chunks together
  size_t max_reply_bytes = 64u << 20;
  size_t max_stream_bytes = 256u << 20;  // requests and replies held for one stream
  size_t max_streams = 256;
  size_t max_unary_bytes = 4u << 20;  // one gRPC message of a unary method
};

struct ServerConfig {
  std::string name;     // "storage"
  std::string address;  // "127.0.0.1:5002"; "unix:/path"; empty: in-process only
  ServerCredentials credentials;
  ServerLimits limits;
  metrics::Registry* metrics = nullptr;  // may be null; must outlive the server
};

class Server {
 public:
  using MakeService = std::function<std::unique_ptr<grpc::Service>(Dispatcher&)>;

  /// `make_service` gets the dispatcher that its unary methods and Calls hand over to.
  static Result<std::unique_ptr<Server>> start(ServerConfig config, MethodTable methods,
                                               const MakeService& make_service);
  virtual ~Server() = default;

  /// The port, when the address asked for port 0; 0 for a unix socket.
  virtual int port() const = 0;
  virtual std::shared_ptr<grpc::Channel> in_process_channel() = 0;
  /// What the standard health service answers.
  virtual void set_serving(bool serving) = 0;
  /// Health off, Drain on every stream, wait for calls in flight up to `grace`, then stop.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

template <class Service>
std::unique_ptr<grpc::Service> make_service(Dispatcher& dispatcher) {
  return std::make_unique<Service>(dispatcher);
}

}  // namespace raymesh::rpc
