// Addresses of unix sockets, which configuration writes as "unix:/path". Pure; any thread.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace raymesh::net {

inline constexpr std::string_view kUnixPrefix = "unix:";
/// Of a path; the kernel wants a zero behind it.
inline constexpr size_t kMaxUnixPath = sizeof(sockaddr_un::sun_path) - 1;

/// `path` has at most kMaxUnixPath bytes; what is above it is cut.
inline sockaddr_un unix_address(std::string_view path) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;
  std::memcpy(out.sun_path, path.data(), std::min(path.size(), kMaxUnixPath));
  return out;
}

}  // namespace raymesh::net
