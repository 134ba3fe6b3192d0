#include "libs/base/cores.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <string>
#include <thread>

namespace raymesh {
namespace {

class CoreLimitTest : public ::testing::Test {
 protected:
  CoreLimitTest() {
    std::string name = (std::filesystem::temp_directory_path() / "cores-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  ~CoreLimitTest() override { std::filesystem::remove_all(root_); }

  void limit(const std::string& group, const std::string& text) {
    std::filesystem::create_directories(root_ / group);
    std::ofstream(root_ / group / "cpu.max") << text;
  }

  std::filesystem::path root_;
};

TEST_F(CoreLimitTest, TheSmallestLimitOfAllGroupsAboveCounts) {
  limit("pods/one", "150000 100000\n");
  limit("pods", "400000 100000\n");
  EXPECT_EQ(core_limit("0::/pods/one\n", root_), 2u);
  EXPECT_EQ(core_limit("0::/pods\n", root_), 4u);
  limit("", "max 100000\n");
  EXPECT_EQ(core_limit("0::/pods/one\n", root_), 2u);
  limit("", "50000 100000\n");
  EXPECT_EQ(core_limit("0::/pods/one\n", root_), 1u);
  EXPECT_EQ(core_limit("0::/\n", root_), 1u);
}

TEST_F(CoreLimitTest, TheLineOfVersion2IsFoundAmongOthers) {
  limit("x", "300000 100000\n");
  EXPECT_EQ(core_limit("12:cpu,cpuacct:/y\n0::/x\n", root_), 3u);
  EXPECT_EQ(core_limit("12:cpu,cpuacct:/x\n", root_), 0u);
}

TEST_F(CoreLimitTest, WhatCannotBeReadIsNoLimit) {
  for (const char* text :
       {"", "max 100000", "x y", "100000", "100000 0", "100000 x", "-1 100000"}) {
    limit("x", text);
    EXPECT_EQ(core_limit("0::/x", root_), 0u) << text;
  }
  EXPECT_EQ(core_limit("", root_), 0u);
  EXPECT_EQ(core_limit("0::/not/there", root_), 0u);
}

TEST(CoresTest, ThereIsOneAtLeastAndNoMoreThanTheMachineHas) {
  EXPECT_GE(available_cores(), 1u);
  EXPECT_LE(available_cores(), std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace
}  // namespace raymesh
