#include "libs/net/descriptors.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <fstream>
#include <string>

namespace raymesh::net {
namespace {

// What the kernel has allocated, by /proc/self/status.
size_t table_size() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("FDSize:")) return std::stoul(line.substr(7));
  return 0;
}

int lowest_free() {
  const int fd = ::fcntl(0, F_DUPFD, 0);
  ::close(fd);
  return fd;
}

TEST(ReserveDescriptorsTest, TableHasRoomAndNothingStaysOpen) {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  const size_t before = table_size();
  ASSERT_GT(before, 0u);
  const size_t more = 2 * before;
  ASSERT_LT(before + more, files.rlim_cur) << "the limit on open files is too low for this test";
  const int free_before = lowest_free();
  reserve_descriptors(more);
  EXPECT_GT(table_size(), more);
  EXPECT_EQ(lowest_free(), free_before);
  EXPECT_EQ(::fcntl(free_before + static_cast<int>(more), F_GETFD), -1);
}

TEST(ReserveDescriptorsTest, StopsAtTheLimitOnOpenFiles) {
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  rlimit low = old;
  low.rlim_cur = 4 * table_size();
  ASSERT_LE(low.rlim_cur, old.rlim_max);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  reserve_descriptors(1'000'000'000);
  EXPECT_EQ(table_size(), low.rlim_cur);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
}

}  // namespace
}  // namespace raymesh::net
