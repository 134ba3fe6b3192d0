// The listening socket of a server, TCP or unix: takes connections on one I/O thread and gives them
// out. Without file descriptors it leaves callers in the kernel's backlog. Made and closed from one
// thread, not its I/O thread.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "libs/base/result.hpp"
#include "libs/rpc/http2_connection.hpp"

namespace raymesh::rpc {

class Acceptor final : public std::enable_shared_from_this<Acceptor> {
 public:
  /// Takes a connected, non-blocking socket. On the thread of the acceptor's place.
  using OnAccept = std::function<void(int fd)>;

  /// `address` is "host:port" or "unix:/path"; a socket file that nobody listens on is replaced.
  static Result<std::shared_ptr<Acceptor>> open(const std::string& address, Place place,
                                                OnAccept on_accept);
  ~Acceptor();

  /// 0 for a unix socket.
  int port() const { return port_; }
  /// When it returns, `on_accept` runs no more.
  void close();

 private:
  Acceptor(Place place, int fd, OnAccept on_accept);
  void wait();
  void take();
  void pause();

  const Place place_;
  const OnAccept on_accept_;
  boost::asio::posix::stream_descriptor socket_;
  boost::asio::steady_timer timer_;
  std::chrono::steady_clock::time_point logged_;  // when it last said that it takes no more
  int port_ = 0;
  std::string path_;  // of a unix socket; removed at the end
};

}  // namespace raymesh::rpc
