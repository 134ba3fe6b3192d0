#include "apps/raymesh/dev_server_file.hpp"

#include <fcntl.h>
#include <simdjson.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "libs/base/json_writer.hpp"

namespace raymesh::cli {
namespace {

std::filesystem::path file_in(const std::filesystem::path& data_dir) {
  return data_dir / "dev-server.json";
}

Error failed(const std::filesystem::path& path) {
  return {errors::kInternal, "cannot write " + path.string() + ": " + std::strerror(errno)};
}

}  // namespace

Status write_dev_server(const std::filesystem::path& data_dir, const DevServer& server) {
  std::string text;
  json::Object o(text);
  o.string("postgresUrl", server.postgres_url);
  o.string("projectSecret", server.project_secret);
  o.end();
  text += '\n';
  const std::filesystem::path path = file_in(data_dir);
  std::filesystem::path fresh = path;
  fresh += ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return failed(fresh);
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (::close(fd) != 0 || !written) return failed(fresh);
  if (::rename(fresh.c_str(), path.c_str()) != 0) return failed(path);
  return ok_status();
}

Result<std::optional<DevServer>> read_dev_server(const std::filesystem::path& data_dir) {
  const std::filesystem::path path = file_in(data_dir);
  std::error_code none;
  if (!std::filesystem::exists(path, none)) return std::optional<DevServer>();
  simdjson::dom::parser parser;
  simdjson::dom::element file;
  std::string_view url;
  std::string_view secret;
  if (parser.load(path.string()).get(file) != simdjson::SUCCESS ||
      file["postgresUrl"].get(url) != simdjson::SUCCESS ||
      file["projectSecret"].get(secret) != simdjson::SUCCESS)
    return Error(errors::kInvalidRequest, path.string() + " is not a file of `raymesh dev`");
  return std::optional<DevServer>({std::string(url), std::string(secret)});
}

void remove_dev_server(const std::filesystem::path& data_dir) {
  std::error_code ignored;
  std::filesystem::remove(file_in(data_dir), ignored);
}

}  // namespace raymesh::cli
