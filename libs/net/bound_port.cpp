#include "libs/net/bound_port.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <sstream>

#include "libs/net/endpoint.hpp"

namespace raymesh::net {
namespace {

using boost::asio::ip::tcp;

// The kernel chooses a port that is free on the first address; on the second it may be taken.
constexpr int kChoices = 16;

}  // namespace

Result<BoundPort> BoundPort::open(std::string_view text) {
  RAYMESH_TRY(std::vector<tcp::endpoint> endpoints, parse_endpoints(text));
  const bool any_port = endpoints.front().port() == 0;
  for (int choice = 1;; ++choice) {
    BoundPort bound;
    Status status = ok_status();
    int error = 0;
    for (tcp::endpoint endpoint : endpoints) {
      const bool first = bound.sockets_.empty();
      if (!first) endpoint.port(static_cast<uint16_t>(bound.port()));
      status = bound.add(endpoint, error);
      if (status.ok()) continue;
      if (first || (error != EADDRNOTAVAIL && error != EAFNOSUPPORT)) break;
      status = ok_status();
    }
    if (status.ok()) return bound;
    if (!any_port || error != EADDRINUSE || choice == kChoices) return std::move(status).error();
  }
}

Status BoundPort::add(tcp::endpoint endpoint, int& error) {
  UniqueFd fd(
      ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int one = 1;
  auto length = static_cast<socklen_t>(endpoint.capacity());
  if (fd && ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
      ::bind(fd.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) == 0 &&
      ::getsockname(fd.get(), endpoint.data(), &length) == 0) {
    sockets_.push_back({endpoint, std::move(fd)});
    return ok_status();
  }
  error = errno;
  std::ostringstream message;
  message << "cannot bind " << endpoint << ": " << std::strerror(error);
  return Error(errors::kUnavailable, message.str());
}

}  // namespace raymesh::net
