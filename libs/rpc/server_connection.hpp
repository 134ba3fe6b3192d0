// A caller's connection: finds out who it is, and opens the door that each stream asks for (a unary
// method, `Calls`, health, reflection) or refuses it. On its I/O thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "libs/rpc/dispatcher.hpp"
#include "libs/rpc/http2_connection.hpp"
#include "libs/rpc/standard_services.hpp"

namespace raymesh::rpc {

class UnaryCall;

/// What all connections of a server share. Outlives them.
struct Doors {
  std::string service;  // full name
  std::unique_ptr<Dispatcher> dispatcher;
  std::unique_ptr<StandardServices> standard;
  /// On the thread of a connection that has just closed.
  std::function<void(Http2Connection*)> closed;
};

class ServerConnection final : public Http2Connection {
 public:
  /// As Http2Connection's. `in_process`: the other end is in this process, so it is the gateway.
  ServerConnection(net::Loop& loop, int fd, ssl_st* tls, bool in_process, Doors& doors);
  ~ServerConnection() override;

 protected:
  bool on_ready() override;
  void on_connection_closed() override;
  std::shared_ptr<StreamHandler> on_request_head(StreamId stream, const Headers& headers,
                                                 size_t& max_message_bytes) override;

 private:
  using Opened = Result<std::shared_ptr<StreamHandler>>;
  Opened open_door(StreamId stream, const Headers& headers, size_t& max_message_bytes);
  Opened open_calls(StreamId stream, Caller caller);
  Opened open_unary(StreamId stream, const Headers& headers, std::string_view name, Caller caller);
  void arm_deadline(const std::shared_ptr<UnaryCall>& call);
  void run_deadlines();

  Doors& doors_;
  Proof proof_;
  std::unique_ptr<net::Loop::Timer> deadline_timer_;  // until closed
  std::multimap<Clock::time_point, std::weak_ptr<UnaryCall>> deadlines_;
};

}  // namespace raymesh::rpc
