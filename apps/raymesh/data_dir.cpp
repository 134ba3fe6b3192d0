#include "apps/raymesh/data_dir.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>

#include "libs/base/encoding.hpp"
#include "libs/crypto/hash.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::cli {
namespace fs = std::filesystem;
namespace {

constexpr const char* kVersionFile = "version";
constexpr const char* kLockFile = "lock";
constexpr const char* kChildrenFile = "children";
constexpr const char* kElsewhereFile = "servers";
constexpr const char* kElsewhereRoot = "/var/lib/raymesh";
// What a server adds to the folder of its socket.
constexpr std::string_view kLongestSocket = "/.s.PGSQL.5432.lock";
constexpr std::chrono::seconds kLeftoverGrace{10};

Error failed(const fs::path& path, int error = errno) {
  return {errors::kUnavailable, path.string() + ": " + std::strerror(error)};
}

fs::path temporary_root() {
  const char* root = std::getenv("TMPDIR");
  return root != nullptr && *root == '/' ? root : "/tmp";
}

// May this user pass through every folder of the path? Access lists are not looked at.
bool reaches(const SystemUser& user, const fs::path& path) {
  fs::path at = "/";
  for (const fs::path& part : path.relative_path()) {
    struct stat info {};
    if (stat(at.c_str(), &info) != 0) return false;
    const mode_t bit = info.st_uid == user.uid   ? S_IXUSR
                       : info.st_gid == user.gid ? S_IXGRP
                                                 : S_IXOTH;
    if ((info.st_mode & bit) == 0) return false;
    at /= part;
  }
  return true;
}

// The moment a process began (proc(5), stat, field 22), to tell it from another one with its pid.
// Empty when there is none.
std::string start_time(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= text.size()) return "";
  std::istringstream fields(text.substr(name_end + 2));
  std::string field, state;
  fields >> state;
  for (int i = 4; i <= 22; ++i) fields >> field;
  return state == "Z" ? "" : field;
}

}  // namespace

Status write_private_file(const fs::path& file, const std::string& text) {
  fs::path fresh = file;
  fresh += ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return failed(fresh);
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fsync(fd) == 0;
  if (::close(fd) != 0 || !written) return failed(fresh);
  if (::rename(fresh.c_str(), file.c_str()) != 0) return failed(file);
  return ok_status();
}

Result<std::optional<std::string>> read_small_file(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    if (errno == ENOENT) return std::optional<std::string>();
    return failed(file);
  }
  std::string text(64u << 10, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  return std::optional<std::string>(std::move(text));
}

Result<DataDir> DataDir::open(const std::string& path, bool ephemeral,
                              std::optional<SystemUser> user) {
  DataDir dir;
  dir.user_ = std::move(user);
  dir.ephemeral_ = ephemeral;
  std::error_code error;
  if (ephemeral) {
    std::string name = (temporary_root() / "raymesh-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) return failed(name);
    dir.path_ = name;
  } else {
    dir.path_ = fs::absolute(path, error);
    if (!error) fs::create_directories(dir.path_, error);
    if (error) return failed(path, error.value());
    dir.path_ = fs::canonical(dir.path_, error);
    if (error) return failed(path, error.value());
  }
  // The servers' user passes through; what is inside has rights of its own.
  if (chmod(dir.path_.c_str(), dir.user_ ? 0711 : 0700) != 0) return failed(dir.path_);
  RAYMESH_CHECK_OK(dir.lock());
  RAYMESH_CHECK_OK(dir.read_version());
  RAYMESH_CHECK_OK(dir.choose_servers_root());
  return dir;
}

DataDir::DataDir(DataDir&& o) noexcept
    : path_(std::move(o.path_)),
      servers_root_(std::move(o.servers_root_)),
      short_folder_(std::move(o.short_folder_)),
      user_(std::move(o.user_)),
      ephemeral_(o.ephemeral_),
      is_new_(o.is_new_),
      found_version_(o.found_version_),
      lock_fd_(std::exchange(o.lock_fd_, -1)),
      children_mutex_(std::move(o.children_mutex_)),
      children_(std::move(o.children_)) {}

DataDir::~DataDir() {
  if (lock_fd_ < 0) return;
  std::error_code ignored;
  if (!short_folder_.empty()) fs::remove_all(short_folder_, ignored);
  if (ephemeral_) {
    if (servers_root_ != path_) fs::remove_all(servers_root_, ignored);
    fs::remove_all(path_, ignored);
  } else if (ftruncate(lock_fd_, 0) != 0) {
    log::debug("the lock file keeps its pid");
  }
  ::close(lock_fd_);
}

Status DataDir::lock() {
  const fs::path file = path_ / kLockFile;
  lock_fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd_ < 0) return failed(file);
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    char text[32] = {};
    const ssize_t size = pread(lock_fd_, text, sizeof text - 1, 0);
    std::string pid(text, size > 0 ? static_cast<size_t>(size) : 0);
    pid.erase(std::find(pid.begin(), pid.end(), '\n'), pid.end());
    ::close(std::exchange(lock_fd_, -1));
    return Error(errors::kInvalidRequest, path_.string() +
                                              " is in use by another `raymesh dev` (pid " +
                                              (pid.empty() ? "unknown" : pid) +
                                              "); stop that one, or choose another --data-dir");
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(lock_fd_, 0) != 0 ||
      pwrite(lock_fd_, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
    return failed(file);
  return ok_status();
}

Status DataDir::read_version() {
  RAYMESH_TRY(auto text, read_small_file(path_ / kVersionFile));
  if (!text) {
    // A start that was interrupted leaves files but no version; a folder of somebody else's, too.
    for (const auto& entry : fs::directory_iterator(path_)) {
      static const std::vector<std::string> kOurs = {
          kLockFile,     kChildrenFile,    kElsewhereFile, "secrets.json", "secrets.json.new",
          "postgres",    "redis-cache",    "redis-state",  "log",          "run",
          "version.new", "dev-server.json"};
      if (std::find(kOurs.begin(), kOurs.end(), entry.path().filename()) == kOurs.end())
        return Error(errors::kInvalidRequest, path_.string() + " holds something else (" +
                                                  entry.path().filename().string() +
                                                  "); choose an empty or new folder as --data-dir");
    }
    is_new_ = true;
    return ok_status();
  }
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), found_version_);
  if (error != std::errc() || found_version_ < 1)
    return Error(errors::kInvalidRequest,
                 (path_ / kVersionFile).string() + " does not hold a version");
  if (found_version_ > kVersion)
    return Error(errors::kInvalidRequest,
                 path_.string() + " was made by a newer raymesh (folder version " +
                     std::to_string(found_version_) + ", this one knows " +
                     std::to_string(kVersion) + "); use that one, or another --data-dir");
  return ok_status();
}

Status DataDir::set_version() {
  return write_private_file(path_ / kVersionFile, std::to_string(kVersion) + "\n");
}

Status DataDir::choose_servers_root() {
  servers_root_ = path_;
  RAYMESH_TRY(auto chosen, read_small_file(path_ / kElsewhereFile));
  if (chosen) {
    chosen->erase(std::find(chosen->begin(), chosen->end(), '\n'), chosen->end());
    servers_root_ = *chosen;
  } else if (user_ && !reaches(*user_, path_ / "x")) {
    // Below /root, typically: its rights are not ours to change.
    std::error_code error;
    fs::create_directories(kElsewhereRoot, error);
    if (error) return failed(kElsewhereRoot, error.value());
    std::string name = std::string(kElsewhereRoot) + "/dev-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) return failed(name);
    if (chmod(name.c_str(), 0711) != 0) return failed(name);
    servers_root_ = name;
    RAYMESH_CHECK_OK(write_private_file(path_ / kElsewhereFile, name + "\n"));
  }
  if (user_ && !reaches(*user_, servers_root_ / "x"))
    return Error(errors::kInvalidRequest, "the user " + user_->name + " cannot reach " +
                                              servers_root_.string() +
                                              "; choose another --data-dir");
  return ok_status();
}

std::optional<fs::path> DataDir::elsewhere() const {
  if (servers_root_ == path_) return std::nullopt;
  return servers_root_;
}

Status DataDir::make_for_servers(const fs::path& folder) const {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return failed(folder);
  struct stat info {};
  if (lstat(folder.c_str(), &info) != 0) return failed(folder);
  const uid_t owner = user_ ? user_->uid : geteuid();
  if (!S_ISDIR(info.st_mode))
    return Error(errors::kInvalidRequest, folder.string() + " is not a folder");
  if (info.st_uid != owner && info.st_uid != geteuid())
    return Error(errors::kInvalidRequest,
                 folder.string() + " belongs to another user; was raymesh run as another one?");
  if (info.st_uid != owner && lchown(folder.c_str(), owner, user_->gid) != 0) return failed(folder);
  if (chmod(folder.c_str(), 0700) != 0) return failed(folder);
  return ok_status();
}

Result<fs::path> DataDir::server_folder(const std::string& name) {
  const fs::path folder = servers_root_ / name;
  RAYMESH_CHECK_OK(make_for_servers(folder));
  return folder;
}

Result<fs::path> DataDir::socket_folder() {
  const fs::path usual = servers_root_ / "run";
  const std::string text = usual.string();
  const bool plain = std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || std::strchr("/._-+", c) != nullptr;
  });
  if (plain && text.size() + kLongestSocket.size() < sizeof(sockaddr_un::sun_path))
    return server_folder("run");
  short_folder_ = fs::path("/tmp") / ("raymesh-" + hex_encode(crypto::sha256(text)).substr(0, 12));
  RAYMESH_CHECK_OK(make_for_servers(short_folder_));
  return short_folder_;
}

void DataDir::set_child(const std::string& name, pid_t pid) {
  std::lock_guard lock(*children_mutex_);
  if (pid == 0)
    children_.erase(name);
  else
    children_[name] = pid;
  std::string text;
  for (const auto& [child, id] : children_)
    text += child + ' ' + std::to_string(id) + ' ' + start_time(id) + '\n';
  if (Status status = write_private_file(path_ / kChildrenFile, text); !status.ok())
    log::warn("cannot note the private servers", {{"reason", status.error().message}});
}

void DataDir::end_leftovers() {
  std::ifstream in(path_ / kChildrenFile);
  std::string name, began;
  pid_t pid = 0;
  const auto deadline = std::chrono::steady_clock::now() + kLeftoverGrace;
  while (in >> name >> pid >> began) {
    if (pid <= 1 || start_time(pid) != began) continue;
    log::info("a server of an earlier run is still ending", {{"server", name}, {"pid", pid}});
    while (start_time(pid) == began && std::chrono::steady_clock::now() < deadline)
      poll(nullptr, 0, 5);
    if (start_time(pid) != began) continue;
    log::warn("a server of an earlier run did not end and is killed",
              {{"server", name}, {"pid", pid}});
    ::kill(pid, SIGKILL);
    while (start_time(pid) == began) poll(nullptr, 0, 5);
  }
}

}  // namespace raymesh::cli
