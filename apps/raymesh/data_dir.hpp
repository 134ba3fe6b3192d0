// The folder of `raymesh dev`: who uses it, what version it has, where things are in it. Opening
// takes a lock that lasts until the object goes. Blocking; one thread.
//
//   version          of this layout, a number
//   lock             flock(2); its text is the pid of the user
//   secrets.json     passwords and keys, made once, readable by the owner only
//   dev-server.json  while it runs: how other commands find the servers
//   children         pids of the private servers, for the next start after a crash
//   postgres/ redis-cache/ redis-state/ log/ run/   the servers' own, below `servers`
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "apps/raymesh/child_process.hpp"
#include "libs/base/result.hpp"

namespace raymesh::cli {

class DataDir {
 public:
  static constexpr int kVersion = 2;

  /// Makes the folder when it is missing. `ephemeral`: a fresh one below TMPDIR, removed in the
  /// end. Errors, with what to do: in use (with the pid), made by a newer raymesh, not a folder of
  /// ours, no rights.
  static Result<DataDir> open(const std::string& path, bool ephemeral,
                              std::optional<SystemUser> user);
  DataDir(DataDir&&) noexcept;
  DataDir& operator=(DataDir&&) = delete;
  /// Gives the lock back.
  ~DataDir();

  const std::filesystem::path& path() const { return path_; }
  /// What the folder had when it was opened; kVersion for a new one.
  int found_version() const { return found_version_; }
  bool is_new() const { return is_new_; }
  /// Written last, when everything in the folder is as this version has it.
  Status set_version();

  /// A folder of the servers' user, 0700: path()/name, or elsewhere when that user cannot get
  /// there.
  Result<std::filesystem::path> server_folder(const std::string& name);
  /// Where the servers keep their data, when that is not path().
  std::optional<std::filesystem::path> elsewhere() const;
  /// Short enough for sockets (sun_path holds 107 bytes) and free of characters that PostgreSQL
  /// would have to be told about.
  Result<std::filesystem::path> socket_folder();

  /// Remembers a private server's pid; 0 forgets it. Any thread.
  void set_child(const std::string& name, pid_t pid);
  /// Waits for servers that a crashed run left behind; ends those that do not.
  void end_leftovers();

  const std::optional<SystemUser>& user() const { return user_; }

 private:
  DataDir() = default;
  Status lock();
  Status read_version();
  Status choose_servers_root();
  Status make_for_servers(const std::filesystem::path& folder) const;

  std::filesystem::path path_;
  std::filesystem::path servers_root_;
  std::filesystem::path short_folder_;  // removed in the end
  std::optional<SystemUser> user_;
  bool ephemeral_ = false;
  bool is_new_ = false;
  int found_version_ = kVersion;
  int lock_fd_ = -1;
  std::unique_ptr<std::mutex> children_mutex_ = std::make_unique<std::mutex>();
  std::map<std::string, pid_t> children_;  // guarded by children_mutex_
};

/// Writes beside the file and renames, 0600. Error: unavailable.
Status write_private_file(const std::filesystem::path& file, const std::string& text);
/// nullopt when there is none. Error: unavailable.
Result<std::optional<std::string>> read_small_file(const std::filesystem::path& file);

}  // namespace raymesh::cli
