#include "apps/raymesh/child_process.hpp"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>

#include "libs/base/signal_mask.hpp"
#include "libs/host/process.hpp"

extern char** environ;

namespace raymesh::cli {
namespace {

constexpr int kCannotExecute = 127;
constexpr int kNoRights = 126;
constexpr int kParentGone = 125;

// Ours without what would lead the servers astray.
std::vector<std::string> child_environment() {
  std::vector<std::string> out;
  for (char** e = environ; *e != nullptr; ++e) {
    std::string_view variable = *e;
    if (variable.substr(0, 2) == "PG" || variable.substr(0, 8) == "RAYMESH_" ||
        variable.substr(0, 3) == "LC_" || variable.substr(0, 5) == "LANG=")
      continue;
    out.emplace_back(variable);
  }
  out.emplace_back("LC_ALL=C.UTF-8");
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// Between fork and exec, in a copy of a process with threads: async-signal-safe calls only.
[[noreturn]] void become(const ChildSpec& spec, pid_t parent, int log, char* const* argv,
                         char* const* envp) {
  host::reset_signals_in_child();
  setsid();
  int null = open("/dev/null", O_RDONLY);
  if (null >= 0) dup2(null, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  if (chdir(spec.folder.c_str()) != 0) _exit(kNoRights);
  if (spec.user &&
      (setgroups(0, nullptr) != 0 || setgid(spec.user->gid) != 0 || setuid(spec.user->uid) != 0))
    _exit(kNoRights);
  umask(077);
  // After setuid, which clears it; and the parent may have died before.
  if (spec.death_signal != 0) prctl(PR_SET_PDEATHSIG, spec.death_signal);
  if (getppid() != parent) _exit(kParentGone);
  execve(argv[0], argv, envp);
  _exit(kCannotExecute);
}

}  // namespace

Result<std::optional<SystemUser>> server_user() {
  if (geteuid() != 0) return std::optional<SystemUser>();
  for (const char* name : {"postgres", "nobody"})
    if (const passwd* entry = getpwnam(name); entry != nullptr && entry->pw_uid != 0)
      return std::optional<SystemUser>({entry->pw_uid, entry->pw_gid, name});
  return Error(errors::kInvalidRequest,
               "PostgreSQL refuses to run as root and there is no user `postgres` or `nobody`; run "
               "raymesh as another user");
}

Result<pid_t> start_child(const ChildSpec& spec) {
  int log = open(spec.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) return Error(errors::kUnavailable, spec.log_file + ": " + std::strerror(errno));
  if (spec.user && fchown(log, spec.user->uid, spec.user->gid) != 0) {
    close(log);
    return Error(errors::kUnavailable, spec.log_file + ": " + std::strerror(errno));
  }
  std::vector<std::string> command = spec.command, environment = child_environment();
  std::vector<char*> argv = pointers(command), envp = pointers(environment);
  const pid_t parent = getpid();
  pid_t pid;
  {
    // A handler of ours must not run in the child before its signals are reset.
    SignalsBlocked blocked;
    pid = fork();
    if (pid == 0) become(spec, parent, log, argv.data(), envp.data());
  }
  close(log);
  if (pid < 0) return Error(errors::kUnavailable, std::string("fork: ") + std::strerror(errno));
  return pid;
}

Result<int> run_child(const ChildSpec& spec) {
  RAYMESH_TRY(pid_t pid, start_child(spec));
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string last_lines(const std::string& file, int lines) {
  constexpr std::streamoff kMost = 4096;
  std::ifstream in(file, std::ios::binary);
  if (!in) return "";
  in.seekg(0, std::ios::end);
  const std::streamoff size = in.tellg();
  in.seekg(std::max<std::streamoff>(0, size - kMost));
  std::string text(static_cast<size_t>(std::min(size, kMost)), '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  size_t begin = text.size();
  for (int i = 0; i < lines && begin != std::string::npos; ++i)
    begin = begin == 0 ? std::string::npos : text.rfind('\n', begin - 1);
  return begin == std::string::npos ? text : text.substr(begin + 1);
}

}  // namespace raymesh::cli
