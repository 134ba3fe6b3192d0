// The Echo service in a process of its own, to be killed and stopped. For tests only.
#pragma once

#include <sys/types.h>

#include <string>

#include "libs/rpc/peer.hpp"

namespace raymesh::rpc::test {

class ServerProcess {
 public:
  /// `address` as in ServerConfig; port 0 takes any. Waits until the server listens.
  explicit ServerProcess(const std::string& address = "127.0.0.1:0");
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& address() const { return address_; }
  PeerConfig peer_config() const;
  /// SIGKILL, and waits for the end.
  void kill();
  void signal(int number);
  /// SIGSTOP, and waits until it has stopped.
  void pause();
  /// Waits for the process to end by itself. Its exit code, or -1 after a signal.
  int wait();

 private:
  pid_t pid_ = -1;
  std::string address_;
};

}  // namespace raymesh::rpc::test
