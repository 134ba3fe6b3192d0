// Children of `raymesh dev`: programs started without root's rights, in a session of their own (so
// that Ctrl-C reaches only us), that end when we do, also by kill -9. Blocking; the thread that
// starts a child must live as long as the child, because the kernel sends the parent-death signal
// when that thread ends (prctl(2), PR_SET_PDEATHSIG).
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::cli {

struct SystemUser {
  uid_t uid;
  gid_t gid;
  std::string name;
};

/// Who the private servers run as: nobody else when we are not root, else `postgres`, else
/// `nobody`. Error: failed_precondition when root finds neither.
Result<std::optional<SystemUser>> server_user();

struct ChildSpec {
  std::vector<std::string> command;  // the first one is a path
  std::optional<SystemUser> user;
  std::string folder;    // working directory
  std::string log_file;  // both outputs are appended; made when missing
  int death_signal = 0;  // what it gets when we die
};

/// The child's pid. Error: unavailable. A program that cannot be executed ends with code 127.
Result<pid_t> start_child(const ChildSpec& spec);
/// Starts, waits, gives the exit code (128 + signal when killed).
Result<int> run_child(const ChildSpec& spec);

/// The end of a file, at most `lines` lines and 4 KiB; empty when there is none.
std::string last_lines(const std::string& file, int lines);

}  // namespace raymesh::cli
