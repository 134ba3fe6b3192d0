#include "tests/support/link_proxy.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>
#include <vector>

namespace raymesh::test {
namespace {

constexpr size_t kBuffer = 256u << 10;

// One direction of a connection.
struct Pipe {
  int from = -1;
  int to = -1;
  bool forth = true;
  std::string waiting;
};

struct Pair {
  int client = -1;
  int server = -1;
  Pipe forth, back;
  bool dead = false;

  ~Pair() {
    ::close(client);
    ::close(server);
  }
};

int connect_to(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

// False when an end is gone.
bool move_bytes(Pipe& pipe) {
  char buffer[64 << 10];
  while (pipe.waiting.size() < kBuffer) {
    const ssize_t n = ::recv(pipe.from, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n == 0) return false;
    if (n < 0) {
      if (errno != EAGAIN) return false;
      break;
    }
    pipe.waiting.append(buffer, static_cast<size_t>(n));
  }
  while (!pipe.waiting.empty()) {
    const ssize_t n =
        ::send(pipe.to, pipe.waiting.data(), pipe.waiting.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN;
    pipe.waiting.erase(0, static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

LinkProxy::LinkProxy(std::string target_socket) : target_(std::move(target_socket)) {
  listen_fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listen_fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listen_fd_, 64) != 0 || ::pipe(wake_) != 0)
    throw std::system_error(errno, std::generic_category(), "link proxy");
  ::getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

LinkProxy::~LinkProxy() {
  stop_ = true;
  (void)!::write(wake_[1], "x", 1);
  thread_.join();
  ::close(listen_fd_);
  ::close(wake_[0]);
  ::close(wake_[1]);
}

void LinkProxy::set(Mode mode) {
  mode_ = mode;
  (void)!::write(wake_[1], "x", 1);
}

void LinkProxy::reset() {
  reset_ = true;
  (void)!::write(wake_[1], "x", 1);
}

void LinkProxy::run() {
  std::vector<std::unique_ptr<Pair>> pairs;
  while (!stop_) {
    const Mode mode = mode_;
    if (mode == Mode::kCut || reset_.exchange(false)) pairs.clear();
    const bool forth = mode == Mode::kPass || mode == Mode::kStallBack;
    const bool back = mode == Mode::kPass || mode == Mode::kStallForth;

    std::vector<pollfd> polled = {{listen_fd_, POLLIN, 0}, {wake_[0], POLLIN, 0}};
    auto watch = [&](const Pipe& pipe, bool passes) {
      if (!passes) return;
      if (pipe.waiting.size() < kBuffer) polled.push_back({pipe.from, POLLIN, 0});
      if (!pipe.waiting.empty()) polled.push_back({pipe.to, POLLOUT, 0});
    };
    for (const auto& pair : pairs) {
      watch(pair->forth, forth);
      watch(pair->back, back);
    }
    ::poll(polled.data(), polled.size(), -1);
    if (polled[1].revents != 0) {
      char drop[64];
      (void)!::read(wake_[0], drop, sizeof drop);
    }
    for (auto& pair : pairs)
      if ((forth && !move_bytes(pair->forth)) || (back && !move_bytes(pair->back)))
        pair->dead = true;
    std::erase_if(pairs, [](const auto& pair) { return pair->dead; });
    if (polled[0].revents == 0) continue;
    const int client = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) continue;
    const int server = mode_ == Mode::kCut ? -1 : connect_to(target_);
    if (server < 0) {
      ::close(client);
      continue;
    }
    auto pair = std::make_unique<Pair>();
    pair->client = client;
    pair->server = server;
    pair->forth = {client, server, true, {}};
    pair->back = {server, client, false, {}};
    pairs.push_back(std::move(pair));
  }
}

}  // namespace raymesh::test
