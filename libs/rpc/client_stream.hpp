// The caller's end of one `Calls` stream, on a connection of its own: dials, says who it is, and
// moves batches between the connection and its PeerCore, which decides everything. Lives on one I/O
// thread; start, wake and abort may be called from any. Held by its core until stream_done.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "libs/net/io_threads.hpp"
#include "libs/net/tls_context.hpp"
#include "libs/net/unique_fd.hpp"
#include "libs/rpc/call.hpp"
#include "libs/rpc/grpc_wire.hpp"
#include "libs/rpc/http2_connection.hpp"
#include "libs/rpc/outbox.hpp"

namespace raymesh::rpc {

class PeerCore;

/// An I/O thread: what a core and its streams live on.
struct Place {
  net::IoThreads* threads = nullptr;
  size_t index = 0;

  net::Loop& loop() const { return threads->loop(index); }
};

/// How a peer's streams are connected; the same for all of them.
struct Dialer {
  std::string service;                   // full gRPC name
  std::shared_ptr<net::TlsContext> tls;  // nullptr: plain
  std::string identity;                  // DNS name that the service's certificate must have
  std::string cluster_key;               // empty: none is shown
  /// The service runs in this process: gives a connected socket, -1 when it has gone.
  std::function<int()> in_process;
};

class ClientStream final : public StreamHandler, public std::enable_shared_from_this<ClientStream> {
 public:
  /// `attempt` counts connections to this address, so that a name's addresses take turns.
  ClientStream(std::shared_ptr<PeerCore> owner, std::shared_ptr<const Dialer> dialer,
               std::string address, size_t attempt, Place place);
  ~ClientStream() override;

  /// Once. `stream_up` or `stream_done` of the owner follows.
  void start();
  /// Once the stream is up: the owner's stream_turn runs soon.
  void wake();
  /// Ends the stream from our side; stream_done follows.
  void abort();

  // Within stream_turn.
  size_t unsent() const { return connection_->unsent(id_); }
  void send(std::string_view batch) { connection_->send_message(id_, batch); }
  void half_close() { connection_->send_end(id_, {}); }

  void on_headers(const Headers& headers) override;
  void on_message(std::string_view message) override;
  void on_bad_message(std::string_view why, bool too_large) override;
  void on_end() override;
  void on_closed(std::string_view reason) override;
  void on_turn() override;

  // Guarded by the owner's mutex.
  Outbox outbox;
  uint64_t sequence = 0;  // of ids, rising
  size_t in_flight = 0;   // calls queued or sent here
  bool up = false;        // the service has taken the stream
  Clock::time_point up_since;
  bool draining = false;     // no new calls
  bool broken = false;       // nothing more can be sent
  bool turn_due = false;     // stream_turn will come
  bool half_closed = false;  // nothing more will be sent

 private:
  class Connection;

  void dial();
  void dial_resolved(const std::vector<std::string>& addresses);
  void connect(const std::string& address);
  void connected(net::UniqueFd socket);
  void done(const grpc_wire::Status& status);

  const std::shared_ptr<PeerCore> owner_;
  const std::shared_ptr<const Dialer> dialer_;
  const std::string address_;
  const size_t attempt_;
  const Place place_;
  // Written before stream_up, so whoever has seen `up` may read it.
  std::shared_ptr<Http2Connection> connection_;
  Http2Session::StreamId id_ = 0;
  std::optional<grpc_wire::Status> status_;
  bool done_ = false;
};

}  // namespace raymesh::rpc
