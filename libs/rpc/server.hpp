// The service's side: a gRPC server with health, reflection, the service's methods and its `Calls`
// stream, on I/O threads that it may share with the service. Owned by the service's app; start and
// stop from one thread, not an I/O thread.
//
//   rpc::ServerConfig config;
//   config.name = "storage";
//   config.service = "raymesh.storage.v1.Storage";
//   rpc::Server::start(std::move(config), std::move(methods));
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "libs/net/loop.hpp"
#include "libs/rpc/credentials.hpp"
#include "libs/rpc/method_table.hpp"
#include "libs/telemetry/metrics.hpp"

namespace raymesh::rpc {

/// Bounds of one server. The defaults are what ships.
struct ServerLimits {
  size_t max_calls_per_stream = 65'536;
  size_t max_calls_per_project = 8'192;
  size_t max_request_bytes = 16u << 20;  // on the Calls stream, all chunks together
  size_t max_reply_bytes = 64u << 20;
  size_t max_stream_bytes = 256u << 20;  // requests and replies held for one stream
  size_t max_streams = 1'024;            // Calls streams: one for each I/O thread of each gateway
  size_t max_connections = 4'096;
  size_t max_unary_bytes = 4u << 20;  // one gRPC message of a unary method
};

struct ServerConfig {
  std::string name;     // "storage"
  std::string service;  // full gRPC name, "raymesh.storage.v1.Storage"
  std::string address;  // "127.0.0.1:5002"; "unix:/path"; empty: in-process only
  ServerCredentials credentials;
  ServerLimits limits;
  metrics::Registry* metrics = nullptr;  // may be null; must outlive the server
  /// Where connections live and handlers run; they must outlive stop(). None: one of its own.
  std::vector<net::Loop*> loops;
};

class Server {
 public:
  static Result<std::unique_ptr<Server>> start(ServerConfig config, MethodTable methods);
  virtual ~Server() = default;

  /// The port, when the address asked for port 0; 0 for a unix socket.
  virtual int port() const = 0;
  /// A new connection from within this process, as the gateway: the caller's end of a socket pair,
  /// non-blocking and the caller's own. -1 when the server has stopped or there are no descriptors.
  virtual int connect_in_process() = 0;
  /// What the standard health service answers.
  virtual void set_serving(bool serving) = 0;
  /// Health off, Drain on every stream, wait for calls in flight up to `grace`, then close.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace raymesh::rpc
