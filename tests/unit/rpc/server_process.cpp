#include "tests/unit/rpc/server_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>

#include "tests/unit/rpc/echo_service.hpp"

extern char** environ;

namespace raymesh::rpc::test {

ServerProcess::ServerProcess(const std::string& address) {
  // The server's program lies beside the test's.
  const std::string program =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "rpc_echo_server";
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
  std::string name = program;
  std::string argument = address;
  char* arguments[] = {name.data(), argument.data(), nullptr};
  const int failed = posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(pipe_fds[1]);
  if (failed) throw std::runtime_error("cannot start " + program);
  char c = 0;
  while (read(pipe_fds[0], &c, 1) == 1 && c != '\n') address_ += c;
  close(pipe_fds[0]);
  if (c != '\n') throw std::runtime_error("the echo server did not start on " + address);
}

ServerProcess::~ServerProcess() {
  kill();
}

PeerConfig ServerProcess::peer_config() const {
  PeerConfig config;
  config.service = kEchoName;
  config.endpoints = {address_};
  config.limits.max_wait = std::chrono::seconds(20);
  return config;
}

void ServerProcess::kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  wait();
}

void ServerProcess::signal(int number) {
  if (pid_ > 0) ::kill(pid_, number);
}

void ServerProcess::pause() {
  signal(SIGSTOP);
  int status = 0;
  waitpid(pid_, &status, WUNTRACED);
}

int ServerProcess::wait() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace raymesh::rpc::test
