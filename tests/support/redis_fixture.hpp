// A real Redis for one test program: its own process on a unix socket in a fresh folder, which goes
// with it. Owned by the test; one thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace raymesh::test {

class RedisServer {
 public:
  /// Starts and waits until it answers. `options` are added to the command line:
  /// {"--maxmemory", "10mb"}. Throws when Redis does not come up.
  explicit RedisServer(std::vector<std::string> options = {});
  /// Kills it and removes the folder.
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  const std::string& socket() const { return socket_; }
  std::string url() const { return "unix:" + socket_; }

  /// A clean stop; the data is gone (nothing is saved).
  void stop();
  /// SIGKILL.
  void kill();
  void start();
  /// SIGSTOP and SIGCONT: it still accepts connections but answers nothing.
  void pause();
  void resume();
  /// One command over a connection of its own, as redis-cli prints it.
  std::string cli(const std::vector<std::string>& arguments) const;

 private:
  void end(int signal);

  std::string folder_;
  std::string socket_;
  std::vector<std::string> options_;
  pid_t pid_ = -1;
};

}  // namespace raymesh::test
