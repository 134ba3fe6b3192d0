// A TCP port of this machine, bound on each address that its text names, not listening yet. The
// caller's thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::net {

class BoundPort {
 public:
  /// `text` as parse_endpoints takes it. All addresses get the same port, also one of the kernel's
  /// choice. Of two addresses the second is left out when this machine does not have it (no IPv6).
  /// Errors: invalid_request; unavailable with a message that names the address.
  static Result<BoundPort> open(std::string_view text);

  BoundPort(BoundPort&&) = default;
  BoundPort& operator=(BoundPort&&) = delete;
  ~BoundPort();

  struct Socket {
    boost::asio::ip::tcp::endpoint endpoint;
    int fd;  // non-blocking, with SO_REUSEADDR; whoever takes it leaves -1

    int take() { return std::exchange(fd, -1); }
  };
  int port() const { return sockets_.front().endpoint.port(); }
  std::vector<Socket>& sockets() { return sockets_; }

 private:
  BoundPort() = default;
  /// `error` is errno when it fails.
  Status add(boost::asio::ip::tcp::endpoint endpoint, int& error);

  std::vector<Socket> sockets_;
};

}  // namespace raymesh::net
