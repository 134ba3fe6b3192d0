#include "tests/db/cli/program.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace raymesh::testing {
namespace {

// A file that has no name any more: unlike a pipe it never fills up.
int unnamed_file() {
  std::string path = "/tmp/raymesh-cli-XXXXXX";
  const int fd = mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) throw std::runtime_error("mkostemp");
  unlink(path.c_str());
  return fd;
}

std::string content_and_close(int fd) {
  std::string text;
  std::array<char, 4096> buffer{};
  off_t at = 0;
  for (ssize_t n; (n = pread(fd, buffer.data(), buffer.size(), at)) > 0; at += n)
    text.append(buffer.data(), static_cast<size_t>(n));
  close(fd);
  return text;
}

}  // namespace

ProgramResult run_raymesh(const std::vector<std::string>& arguments,
                          const std::map<std::string, std::string>& environment) {
  std::vector<std::string> texts = {RAYMESH_PROGRAM};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  auto pointers = [](std::vector<std::string>& strings) {
    std::vector<char*> out;
    for (std::string& s : strings) out.push_back(s.data());
    out.push_back(nullptr);
    return out;
  };

  const int out = unnamed_file();
  const int err = unnamed_file();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  pid_t pid = 0;
  const int failed = posix_spawn(&pid, RAYMESH_PROGRAM, &actions, nullptr, pointers(texts).data(),
                                 pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error("cannot start " RAYMESH_PROGRAM);

  int status = 0;
  waitpid(pid, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), content_and_close(out),
          content_and_close(err)};
}

}  // namespace raymesh::testing
