#include "libs/net/descriptors.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <algorithm>

#include "libs/net/unique_fd.hpp"

namespace raymesh::net {

void reserve_descriptors(size_t count) {
  rlimit files{};
  const UniqueFd any(::epoll_create1(EPOLL_CLOEXEC));
  if (!any || ::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == 0) return;
  // A table never shrinks, so one descriptor up there for a moment is enough.
  const auto wanted = std::min<rlim_t>(static_cast<rlim_t>(any.get()) + count, files.rlim_cur - 1);
  const UniqueFd highest(::fcntl(any.get(), F_DUPFD_CLOEXEC, static_cast<int>(wanted)));
}

}  // namespace raymesh::net
