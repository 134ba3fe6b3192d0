// The listening socket of a server, TCP or unix: takes connections on one I/O thread and gives them
// out. Without file descriptors it leaves callers in the kernel's backlog. Made and closed from one
// thread, not its I/O thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "libs/base/result.hpp"
#include "libs/net/loop.hpp"
#include "libs/net/unique_fd.hpp"

namespace raymesh::rpc {

class Acceptor final : public net::Loop::Listener, public std::enable_shared_from_this<Acceptor> {
 public:
  /// Takes a connected, non-blocking socket. On the loop's thread.
  using OnAccept = std::function<void(int fd)>;

  /// `address` is "host:port" or "unix:/path"; a socket file that nobody listens on is replaced.
  static Result<std::shared_ptr<Acceptor>> open(const std::string& address, net::Loop& loop,
                                                OnAccept on_accept);
  ~Acceptor();

  /// 0 for a unix socket.
  int port() const { return port_; }
  /// When it returns, `on_accept` runs no more.
  void close();

 private:
  Acceptor(net::Loop& loop, net::UniqueFd socket, OnAccept on_accept);
  void on_ready(net::Loop::Ready what) override;
  void wait();
  void pause();

  net::Loop& loop_;
  const OnAccept on_accept_;
  net::UniqueFd socket_;                          // until closed
  std::unique_ptr<net::Loop::Watch> watch_;       // until closed
  std::unique_ptr<net::Loop::Timer> timer_;       // until closed
  std::chrono::steady_clock::time_point logged_;  // when it last said that it takes no more
  int port_ = 0;
  std::string path_;  // of a unix socket; removed at the end
};

}  // namespace raymesh::rpc
