#include "libs/base/cores.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

namespace raymesh {
namespace {

/// Of cpu.max: "<microseconds of CPU> <of each so many>", or "max <...>"; 0: no limit.
size_t cores_of(std::string_view text) {
  uint64_t quota = 0, period = 0;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, quota);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != ' ') return 0;
  if (std::from_chars(first.ptr + 1, end, period).ec != std::errc() || period == 0) return 0;
  return std::max<size_t>(1, static_cast<size_t>(quota / period + (quota % period != 0)));
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

size_t core_limit(std::string_view membership, const std::filesystem::path& root) {
  constexpr std::string_view kUnified = "0::/";  // the line of version 2
  const size_t line =
      membership.starts_with(kUnified) ? 0 : membership.find("\n0::/") + 1;  // npos + 1 is 0, too
  std::string_view path = membership.substr(line);
  if (!path.starts_with(kUnified)) return 0;
  path = path.substr(kUnified.size(), path.find('\n') - kUnified.size());
  size_t least = 0;
  for (std::filesystem::path group(path);; group = group.parent_path()) {
    const size_t cores = cores_of(read(root / group / "cpu.max"));
    if (cores > 0) least = least == 0 ? cores : std::min(least, cores);
    if (group.empty()) return least;
  }
}

size_t available_cores() {
  const size_t cores = std::max(1u, std::thread::hardware_concurrency());
  const size_t limit = core_limit(read("/proc/self/cgroup"), "/sys/fs/cgroup");
  return limit == 0 ? cores : std::min(cores, limit);
}

}  // namespace raymesh
