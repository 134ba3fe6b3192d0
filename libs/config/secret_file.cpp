#include "libs/config/secret_file.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace raymesh::config {
namespace {

constexpr std::streamsize kMaxSecretBytes = 64 << 10;

Error bad(std::string message) {
  return Error(errors::kInvalidRequest, std::move(message));
}

}  // namespace

Status check_not_world_readable(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0)
    return bad("cannot read " + path + ": " + std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return bad(path + " is not a regular file");
  if ((info.st_mode & S_IROTH) != 0) {
    return bad(path + " holds a secret and everybody may read it: take that away (chmod o-r " +
               path + "; in Kubernetes set the volume's defaultMode to 0440)");
  }
  return ok_status();
}

Result<std::string> read_secret_file(const std::string& path) {
  RAYMESH_CHECK_OK(check_not_world_readable(path));
  std::ifstream in(path, std::ios::binary);
  std::string text(static_cast<size_t>(kMaxSecretBytes) + 1, '\0');
  if (in) in.read(text.data(), kMaxSecretBytes + 1);
  if (in.bad() || (!in && !in.eof()))
    return bad("cannot read " + path + ": " + std::strerror(errno));
  if (in.gcount() > kMaxSecretBytes) return bad(path + ": a secret has at most 64 KiB");
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.ends_with('\n')) text.pop_back();
  if (text.empty()) return bad(path + " is empty, and should hold a secret");
  return text;
}

}  // namespace raymesh::config
