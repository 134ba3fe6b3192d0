// One connected socket, plain or TLS, with non-blocking reads and writes: sessions are written once
// for both. A plain stream is ::recv and ::send with nothing in between and holds no buffers; a TLS
// stream lets OpenSSL use the socket itself. Owned by its session, used on that session's I/O
// thread only.
#pragma once

#include <sys/uio.h>

#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <span>
#include <utility>

struct ssl_st;

namespace raymesh::net {

class TlsContext;

enum class IoState {
  kDone,       // bytes were moved (for a handshake: it is finished)
  kWantRead,   // wait_readable, then the same call again
  kWantWrite,  // wait_writable, then the same call again
  kEnd,        // the peer closed its side
  kFailed,     // the connection is broken
};

struct IoResult {
  IoState state;
  size_t bytes = 0;  // more than 0 only with kDone
};

class ByteStream {
 public:
  /// Plain, or TLS in the server's role when `tls` is given. `socket` must be non-blocking.
  ByteStream(boost::asio::ip::tcp::socket socket, TlsContext* tls);
  ~ByteStream();
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  bool is_tls() const { return ssl_ != nullptr; }
  boost::asio::ip::tcp::socket& socket() { return socket_; }

  /// Repeat until kDone before anything is read or written; kDone at once for a plain stream.
  IoResult handshake();
  /// May return less than fits. A TLS stream must be read until kWantRead before it waits, because
  /// what OpenSSL has buffered does not make the socket readable.
  IoResult read(void* data, size_t size);
  /// May take less than all. On kWantRead or kWantWrite a TLS stream must be given the same bytes
  /// again at the front (at any address, and there may be more of them).
  IoResult write(const void* data, size_t size);
  /// The same for several pieces: one sendmsg, or one TLS record of up to 16 KiB.
  IoResult write(std::span<const iovec> pieces);

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
  void shutdown_send();
  /// Closes at once and ends the waits with operation_aborted.
  void close();

 private:
  IoResult tls_result(int result);

  boost::asio::ip::tcp::socket socket_;
  ssl_st* ssl_ = nullptr;
  bool broken_ = false;
};

}  // namespace raymesh::net
