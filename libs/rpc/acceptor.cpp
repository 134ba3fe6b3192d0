#include "libs/rpc/acceptor.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <future>

#include "libs/net/bound_port.hpp"
#include "libs/net/unix_address.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::rpc {
namespace {

constexpr int kBacklog = 1'024;
constexpr int kAcceptsPerWake = 64;
constexpr std::chrono::milliseconds kExhaustedPause{100};
constexpr std::chrono::seconds kExhaustedLogInterval{5};

Error failed(const std::string& address) {
  return Error(errors::kUnavailable, "cannot listen on " + address + ": " + std::strerror(errno));
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

Result<net::UniqueFd> bind_unix(const std::string& address) {
  const std::string path = address.substr(net::kUnixPrefix.size());
  if (path.empty() || path.size() > net::kMaxUnixPath)
    return Error(errors::kInvalidValue, "the path of " + address + " is empty or too long");
  const sockaddr_un name = net::unix_address(path);
  if (is_stale(name)) ::unlink(path.c_str());
  net::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0)
    return failed(address);
  return fd;
}

}  // namespace

Result<std::shared_ptr<Acceptor>> Acceptor::open(const std::string& address, net::Loop& loop,
                                                 OnAccept on_accept) {
  net::UniqueFd fd;
  int port = 0;
  std::string path;
  if (address.starts_with(net::kUnixPrefix)) {
    RAYMESH_TRY(fd, bind_unix(address));
    path = address.substr(net::kUnixPrefix.size());
  } else {
    // Of localhost's two addresses the IPv4 one: the callers are ours and told which.
    RAYMESH_TRY(auto bound, net::BoundPort::open(address));
    fd = std::move(bound.sockets().front().fd);
    port = bound.port();
  }
  if (::listen(fd.get(), kBacklog) != 0) return failed(address);
  std::shared_ptr<Acceptor> acceptor(new Acceptor(loop, std::move(fd), std::move(on_accept)));
  acceptor->port_ = port;
  acceptor->path_ = std::move(path);
  loop.post([acceptor] {
    acceptor->timer_ = acceptor->loop_.timer();
    acceptor->wait();
  });
  return acceptor;
}

Acceptor::Acceptor(net::Loop& loop, net::UniqueFd socket, OnAccept on_accept)
    : loop_(loop), on_accept_(std::move(on_accept)), socket_(std::move(socket)) {}

Acceptor::~Acceptor() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void Acceptor::wait() {
  if (!watch_) watch_ = loop_.watch(socket_.get(), weak_from_this());
  if (!watch_) return pause();
  watch_->await(net::Loop::Ready::kRead);
}

void Acceptor::on_ready(net::Loop::Ready) {
  for (int i = 0; i < kAcceptsPerWake; ++i) {
    const int fd = ::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
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
  const int reason = errno;
  const auto now = std::chrono::steady_clock::now();
  if (now - logged_ > kExhaustedLogInterval) {
    logged_ = now;
    log::warn("no more connections can be taken for now", {{"reason", std::strerror(reason)}});
  }
  timer_->set(now + kExhaustedPause, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->wait();
  });
}

void Acceptor::close() {
  std::promise<void> done;
  std::future<void> closed = done.get_future();
  loop_.post([self = shared_from_this(), done = std::move(done)]() mutable {
    self->timer_.reset();
    self->watch_.reset();
    self->socket_.reset();
    done.set_value();
  });
  closed.wait();  // also ends when a stopped thread destroys the task unrun
}

}  // namespace raymesh::rpc
