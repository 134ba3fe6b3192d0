// A TCP port of this machine, bound on each address that its text names, not listening yet. The
// caller's thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/net/unique_fd.hpp"

namespace raymesh::net {

class BoundPort {
 public:
  /// `text` as parse_endpoints takes it. All addresses get the same port, also one of the kernel's
  /// choice. Of two addresses the second is left out when this machine does not have it (no IPv6).
  /// Errors: invalid_request; unavailable with a message that names the address.
  static Result<BoundPort> open(std::string_view text);

  struct Socket {
    boost::asio::ip::tcp::endpoint endpoint;
    UniqueFd fd;  // non-blocking, with SO_REUSEADDR
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
