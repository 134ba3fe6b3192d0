// Whatever a caller sends to a service's port: a real server answers it or ends the connection, and
// once the caller has said all it had to, the connection ends by itself, without waiting for a
// timeout.
//
// The first byte says who calls and how far the caller comes by right means before the rest of the
// input follows: bit 0, a stranger on a socket or the gateway within the process; bits 1 and 2, no
// bytes at all, a preface, the head of a unary call, or the head of a Calls stream; bit 3, whether
// the rest is frames of HTTP/2 or messages of gRPC, in frames that are right.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "libs/rpc/server.hpp"

namespace {

using namespace raymesh;

constexpr char kService[] = "raymesh.fuzz.v1.Fuzz";
constexpr size_t kMaxFrame = 16'384;

// Both are messages of two fields that are known to every build.
using Message = common::v1::Error;

rpc::MethodTable methods() {
  rpc::MethodTable table;
  constexpr uint8_t kAll =
      rpc::kCallerGateway | rpc::kCallerToken | rpc::kCallerCli | rpc::kCallerService;
  table.add<Message, Message>(
      "Echo", kAll,
      [](rpc::CallPtr, Message request, rpc::Responder<Message> respond) { respond(request); });
  table.add<Message, Message>("Large", kAll,
                              [](rpc::CallPtr, Message request, rpc::Responder<Message> respond) {
                                request.set_message(std::string(100'000, 'x'));
                                respond(std::move(request));
                              });
  table.add<Message, Message>("Forget", kAll,
                              [](rpc::CallPtr, Message, rpc::Responder<Message>) {});
  return table;
}

struct Door {
  Door() {
    path = "/tmp/raymesh-fuzz-" + std::to_string(::getpid());
    rpc::ServerConfig config;
    config.name = "fuzz";
    config.service = kService;
    config.address = "unix:" + path;
    config.credentials.cluster_key = "a-key-that-nobody-guesses";
    // Small ones, so that inputs reach them.
    config.limits.max_calls_per_stream = 16;
    config.limits.max_request_bytes = 64 << 10;
    config.limits.max_reply_bytes = 128 << 10;
    config.limits.max_stream_bytes = 256 << 10;
    config.limits.max_unary_bytes = 32 << 10;
    auto started = rpc::Server::start(std::move(config), methods());
    if (!started.ok()) std::abort();
    server = std::move(*started);
  }

  int connect(bool in_process) const {
    if (in_process) return server->connect_in_process();
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      std::abort();
    return fd;
  }

  std::string path;
  std::unique_ptr<rpc::Server> server;
};

std::string frame(uint8_t type, uint8_t flags, uint8_t stream, std::string_view payload) {
  const size_t n = payload.size();
  const char head[] = {static_cast<char>(n >> 16),
                       static_cast<char>(n >> 8),
                       static_cast<char>(n),
                       static_cast<char>(type),
                       static_cast<char>(flags),
                       0,
                       0,
                       0,
                       static_cast<char>(stream)};
  return std::string(head, sizeof head).append(payload);
}

std::string head(const std::string& method) {
  std::string block;
  const auto add = [&](std::string_view name, std::string_view value) {
    block += '\0';
    block += static_cast<char>(name.size());
    block += name;
    block += static_cast<char>(value.size());
    block += value;
  };
  add(":method", "POST");
  add(":scheme", "http");
  add(":path", "/" + std::string(kService) + "/" + method);
  add("content-type", "application/grpc");
  return frame(1, 4, 1, block);
}

// The first two bytes of each message say how long it is.
std::string messages(std::string_view input) {
  std::string data;
  while (input.size() > 2) {
    const size_t wanted = static_cast<uint8_t>(input[0]) << 8 | static_cast<uint8_t>(input[1]);
    const std::string_view message = input.substr(2, wanted);
    const size_t n = message.size();
    const char prefix[] = {0, 0, static_cast<char>(n >> 16), static_cast<char>(n >> 8),
                           static_cast<char>(n)};
    data.append(prefix, sizeof prefix).append(message);
    input.remove_prefix(2 + n);
  }
  std::string frames;
  for (size_t at = 0; at < data.size(); at += kMaxFrame)
    frames += frame(0, 0, 1, std::string_view(data).substr(at, kMaxFrame));
  return frames + frame(0, 1, 1, {});
}

std::string bytes_of(uint8_t how, std::string_view input) {
  const int start = how >> 1 & 3;
  std::string bytes;
  if (start > 0) bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, {});
  if (start == 2) bytes += head("Echo");
  if (start == 3) bytes += head("Calls");
  if (start > 1 && how & 8) return bytes + messages(input);
  return bytes.append(input);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto& door = []() -> const Door& {
    static const auto& made = *new Door;
    std::atexit([] { ::unlink(made.path.c_str()); });
    return made;
  }();
  if (size == 0) return 0;
  const std::string bytes = bytes_of(data[0], {reinterpret_cast<const char*>(data + 1), size - 1});
  const int fd = door.connect((data[0] & 1) != 0);
  if (fd < 0) std::abort();
  std::string_view rest = bytes;
  bool open = true;
  for (char buffer[16'384];;) {
    pollfd ready{fd, static_cast<short>(open ? POLLIN | POLLOUT : POLLIN), 0};
    ::poll(&ready, 1, -1);  // what takes too long is the fuzzer's to say
    if (ready.revents & POLLOUT && open) {
      const ssize_t n = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) rest.remove_prefix(static_cast<size_t>(n));
      open = (n > 0 || errno == EAGAIN) && !rest.empty();
      if (!open) ::shutdown(fd, SHUT_WR);
    }
    if (!(ready.revents & (POLLIN | POLLHUP | POLLERR))) continue;
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) break;
  }
  ::close(fd);
  return 0;
}
