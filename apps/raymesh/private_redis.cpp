#include "apps/raymesh/private_redis.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

namespace raymesh::cli {
namespace fs = std::filesystem;
namespace {

// Inline commands (Redis protocol specification) are enough to see whether it serves: while it
// loads a snapshot it answers -LOADING.
bool answers(const std::string& path, const std::string& password) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const timeval second{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
  const std::string ask = "AUTH " + password + "\r\nPING\r\n";
  std::string reply;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      ::send(fd, ask.data(), ask.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(ask.size())) {
    char buffer[256];
    while (reply.find("\r\n", reply.find("\r\n") + 1) == std::string::npos) {
      const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      reply.append(buffer, static_cast<size_t>(n));
    }
  }
  ::close(fd);
  return reply.find("+PONG") != std::string::npos;
}

}  // namespace

Result<std::unique_ptr<PrivateRedis>> PrivateRedis::begin(DataDir& folder, const Config& config) {
  if (access(config.program.c_str(), X_OK) != 0)
    return Error(errors::kInvalidRequest,
                 "there is no " + config.program +
                     "; install the package redis-server, or use --redis-program or --redis-url");
  const std::string name = "redis-" + config.name;
  RAYMESH_TRY(const fs::path data, folder.server_folder(name));
  RAYMESH_TRY(const fs::path logs, folder.server_folder("log"));
  auto redis = std::unique_ptr<PrivateRedis>(new PrivateRedis);
  redis->socket_ = (config.sockets / (config.name + ".sock")).string();

  // In a file, because the command line is for everybody to see. `dir` is the working directory.
  const fs::path file = data / "redis.conf";
  std::string text = "port 0\nunixsocket " + redis->socket_ + "\nunixsocketperm 700\nrequirepass " +
                     config.password +
                     "\ndaemonize no\nsave 900 1\nappendonly no\nmaxmemory 256mb\n"
                     "maxmemory-policy " +
                     (config.evicts ? "allkeys-lru" : "noeviction") +
                     "\nstop-writes-on-bgsave-error no\n";
  RAYMESH_CHECK_OK(write_private_file(file, text));
  if (folder.user() && chown(file.c_str(), folder.user()->uid, folder.user()->gid) != 0)
    return Error(errors::kUnavailable, "chown " + file.string());

  KeptServerSpec spec;
  spec.name = "Redis (" + config.name + ")";
  spec.child.command = {config.program, "redis.conf"};
  spec.child.user = folder.user();
  spec.child.folder = data.string();
  spec.child.log_file = (logs / (name + ".log")).string();
  spec.child.death_signal = SIGTERM;
  spec.stop_signals = {SIGTERM};
  spec.answers = [socket = redis->socket_, password = config.password] {
    return answers(socket, password);
  };
  spec.pid_changed = [&folder, name](pid_t pid) { folder.set_child(name, pid); };
  spec.given_up = config.given_up;
  redis->server_ = std::make_unique<KeptServer>(std::move(spec));
  redis->server_->begin();
  return redis;
}

}  // namespace raymesh::cli
