// One connected socket, plain or TLS, with non-blocking reads and writes: sessions are written once
// for both. A plain stream is ::recv and ::send with nothing in between and holds no buffers; a TLS
// stream lets OpenSSL use the socket itself. Owned by its session, used on that session's I/O
// thread only.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <span>
#include <utility>

#include "libs/net/fd_stream.hpp"

namespace raymesh::net {

class ByteStream {
 public:
  /// Plain, or TLS in the server's role when `tls` is given. `socket` must be non-blocking.
  ByteStream(boost::asio::ip::tcp::socket socket, TlsContext* tls);
  /// Takes a connection over; waits of the other one still end, with its own handlers.
  ByteStream(ByteStream&&) = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  bool is_tls() const { return stream_.is_tls(); }
  boost::asio::ip::tcp::socket& socket() { return socket_; }

  /// As FdStream's.
  IoResult handshake() { return stream_.handshake(); }
  IoResult read(void* data, size_t size) { return stream_.read(data, size); }
  bool at_end() { return stream_.at_end(); }
  IoResult write(const void* data, size_t size) { return stream_.write(data, size); }
  IoResult write(std::span<const iovec> pieces) { return stream_.write(pieces); }

  /// `handler(boost::system::error_code)` on the I/O thread. No buffer is held meanwhile.
  template <class Handler>
  void wait_readable(Handler&& handler) {
    socket_.async_wait(boost::asio::ip::tcp::socket::wait_read, std::forward<Handler>(handler));
  }
  template <class Handler>
  void wait_writable(Handler&& handler) {
    socket_.async_wait(boost::asio::ip::tcp::socket::wait_write, std::forward<Handler>(handler));
  }

  /// Says that nothing more will be sent (TLS close_notify, FIN); reading goes on.
  void shutdown_send() { stream_.shutdown_send(); }
  /// Closes at once and ends the waits with operation_aborted.
  void close();

 private:
  boost::asio::ip::tcp::socket socket_;
  FdStream stream_;
};

}  // namespace raymesh::net
