#include "libs/rpc/acceptor.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <cstring>
#include <future>

#include "libs/net/endpoint.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::rpc {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr int kBacklog = 1'024;
constexpr int kAcceptsPerWake = 64;
constexpr std::chrono::milliseconds kExhaustedPause{100};

Error failed(const std::string& address) {
  return Error(errors::kUnavailable, "cannot listen on " + address + ": " + std::strerror(errno));
}

sockaddr_un unix_address(std::string_view path) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  std::memcpy(out.sun_path, path.data(), std::min(path.size(), sizeof out.sun_path - 1));
  return out;
}

// True when nobody listens on it: what a killed process leaves behind.
bool is_stale(const sockaddr_un& address) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool refused =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      errno == ECONNREFUSED;
  ::close(fd);
  return refused;
}

}  // namespace

Result<std::shared_ptr<Acceptor>> Acceptor::open(const std::string& address, Place place,
                                                 OnAccept on_accept) {
  sockaddr_storage storage{};
  socklen_t size = 0;
  std::string path;
  if (address.starts_with(kUnix)) {
    path = address.substr(kUnix.size());
    if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path))
      return Error(errors::kInvalidValue, "the path of " + address + " is empty or too long");
    const sockaddr_un name = unix_address(path);
    std::memcpy(&storage, &name, size = sizeof name);
    if (is_stale(name)) ::unlink(path.c_str());
  } else {
    // Of localhost's two addresses the IPv4 one: the callers are ours and told which.
    RAYMESH_TRY(const auto endpoints, net::parse_endpoints(address));
    const auto& endpoint = endpoints.front();
    std::memcpy(&storage, endpoint.data(), size = static_cast<socklen_t>(endpoint.size()));
  }
  const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return failed(address);
  // Not SO_REUSEPORT: a second process on the same port is a mistake, not a way to share its load.
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&storage), size) != 0 ||
      ::listen(fd, kBacklog) != 0) {
    Error error = failed(address);
    ::close(fd);
    return error;
  }
  std::shared_ptr<Acceptor> acceptor(new Acceptor(place, fd, std::move(on_accept)));
  acceptor->path_ = std::move(path);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) == 0) {
    if (storage.ss_family == AF_INET)
      acceptor->port_ = ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port);
    if (storage.ss_family == AF_INET6)
      acceptor->port_ = ntohs(reinterpret_cast<const sockaddr_in6&>(storage).sin6_port);
  }
  place.threads->post(place.index, [acceptor] { acceptor->wait(); });
  return acceptor;
}

Acceptor::Acceptor(Place place, int fd, OnAccept on_accept)
    : place_(place),
      on_accept_(std::move(on_accept)),
      socket_(place.threads->context(place.index), fd),
      timer_(place.threads->context(place.index)) {}

Acceptor::~Acceptor() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void Acceptor::wait() {
  if (!socket_.is_open()) return;
  socket_.async_wait(boost::asio::posix::descriptor_base::wait_read,
                     [self = shared_from_this()](boost::system::error_code ec) {
                       if (!ec) self->take();
                     });
}

void Acceptor::take() {
  for (int i = 0; i < kAcceptsPerWake; ++i) {
    const int fd =
        ::accept4(socket_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) return pause();
      break;
    }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // refused for a unix socket: fine
    on_accept_(fd);
  }
  wait();
}

void Acceptor::pause() {
  log::warn("no more connections can be taken for now", {{"reason", std::strerror(errno)}});
  timer_.expires_after(kExhaustedPause);
  timer_.async_wait([self = shared_from_this()](boost::system::error_code ec) {
    if (!ec) self->wait();
  });
}

void Acceptor::close() {
  std::promise<void> done;
  std::future<void> closed = done.get_future();
  place_.threads->post(place_.index, [self = shared_from_this(), done = std::move(done)]() mutable {
    boost::system::error_code ignored;
    self->socket_.close(ignored);
    self->timer_.cancel();
    done.set_value();
  });
  closed.wait();  // also ends when a stopped thread destroys the task unrun
}

}  // namespace raymesh::rpc
