// The caller's end of one bidirectional stream, on a connection of its own: dials, says who it is,
// and moves messages. What they mean is its subclass's. Lives on one I/O thread; start, wake and
// abort may be called from any. Held by its owner until `done`.
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

namespace raymesh::rpc {

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

/// Which stream it is.
struct StreamTarget {
  std::shared_ptr<const Dialer> dialer;
  std::string method;   // of the service
  std::string address;  // of an endpoint
  /// Counts connections to this address, so that a name's addresses take turns.
  size_t attempt = 0;
  size_t max_message_bytes = 0;  // of those that come
};

class ClientStream : public StreamHandler, public std::enable_shared_from_this<ClientStream> {
 public:
  ClientStream(StreamTarget target, Place place);
  ~ClientStream() override;

  /// Once. `up_now` or `done` follows.
  void start();
  /// Once the stream is up: on_turn runs soon.
  void wake();
  /// Ends the stream from our side; `done` follows.
  void abort();
  /// The same at once, on its thread.
  void close();

  // On its thread once it is up, and not after `done`.
  size_t unsent() const { return connection_->unsent(id_); }
  void send(std::string_view message) { connection_->send_message(id_, message); }
  void half_close() { connection_->send_end(id_, {}); }
  /// Takes no messages until `resume`, which gives what has waited before it returns.
  void pause() { connection_->pause(id_); }
  void resume() {
    connection_->resume(id_);
    // The service learns only by what is written that it may send again.
    wake();
  }

  void on_headers(const Headers& headers) final;
  void on_bad_message(std::string_view why, bool too_large) final;
  void on_end() final;
  void on_closed(std::string_view reason) final;

 protected:
  /// Runs the task on the stream's thread. Any thread.
  virtual void post(net::IoThreads::Task task) {
    place_.threads->post(place_.index, std::move(task));
  }
  /// The service has taken the stream.
  virtual void up_now() = 0;
  /// The last event, and the only one of a stream that never was up.
  virtual void done(const grpc_wire::Status& status) = 0;

 private:
  class Connection;

  void dial();
  void dial_resolved(const std::vector<std::string>& addresses);
  void connect(const std::string& address);
  void connected(net::UniqueFd socket);
  void finish(const grpc_wire::Status& status);

  const StreamTarget target_;
  const Place place_;
  // Written before up_now, so whoever has heard of that may read it.
  std::shared_ptr<Http2Connection> connection_;
  Http2Session::StreamId id_ = 0;
  std::optional<grpc_wire::Status> status_;
  bool done_ = false;
};

}  // namespace raymesh::rpc
