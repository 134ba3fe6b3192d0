// Opens a connection to PostgreSQL without blocking: libpq's PQconnectStart and PQconnectPoll
// (manual 34.1) driven by Asio. Lives on one I/O thread. The result is a libpq connection that is
// logged in and idle; the pipeline takes over its socket.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "libs/pg/login.hpp"

struct pg_conn;

namespace raymesh::pg {

struct FinishConnection {
  void operator()(pg_conn* connection) const;
};
using ConnectionHandle = std::unique_ptr<pg_conn, FinishConnection>;

class Connector : public std::enable_shared_from_this<Connector> {
 public:
  using Done = UniqueFunction<void(Result<ConnectionHandle>)>;

  Connector(boost::asio::io_context& io, Login login, std::chrono::milliseconds timeout);

  /// `done` runs once, never inside this call. Errors: unavailable, with libpq's message (which has
  /// no password in it).
  void start(Done done);
  /// `done` is dropped unrun.
  void cancel();

 private:
  void connect(const std::string& address);
  void wait(bool for_write);
  void poll();
  void finish(Result<ConnectionHandle> result);
  void release_descriptor();

  Login login_;
  std::chrono::milliseconds timeout_;
  boost::asio::io_context& io_;
  boost::asio::posix::stream_descriptor descriptor_;
  boost::asio::steady_timer timer_;
  boost::asio::ip::tcp::resolver resolver_;
  ConnectionHandle connection_;
  Done done_;
};

}  // namespace raymesh::pg
