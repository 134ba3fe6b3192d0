#include "apps/raymesh/data_dir.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "apps/raymesh/dev_secrets.hpp"

namespace raymesh::cli {
namespace {

namespace fs = std::filesystem;

class DataDirTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "raymesh-datadir-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    base_ = name;
  }
  void TearDown() override { fs::remove_all(base_); }

  Result<DataDir> open(const std::string& name = "data") {
    return DataDir::open((base_ / name).string(), false, std::nullopt);
  }
  void write(const std::string& file, const std::string& text) {
    std::ofstream(base_ / file) << text;
  }

  fs::path base_;
};

TEST_F(DataDirTest, ANewFolderHasNoVersionUntilItIsComplete) {
  {
    auto dir = open();
    ASSERT_TRUE(dir.ok()) << dir.error().message;
    EXPECT_TRUE(dir->is_new());
  }
  {
    auto dir = open();  // interrupted before
    ASSERT_TRUE(dir.ok());
    EXPECT_TRUE(dir->is_new());
    ASSERT_TRUE(dir->set_version().ok());
  }
  auto dir = open();
  ASSERT_TRUE(dir.ok());
  EXPECT_FALSE(dir->is_new());
  EXPECT_EQ(dir->found_version(), DataDir::kVersion);
}

TEST_F(DataDirTest, IsForOneAtATime) {
  auto first = open();
  ASSERT_TRUE(first.ok());
  auto second = open();
  ASSERT_FALSE(second.ok());
  EXPECT_NE(second.error().message.find("pid " + std::to_string(getpid())), std::string::npos)
      << second.error().message;
  { DataDir gone = std::move(*first); }
  EXPECT_TRUE(open().ok());
}

TEST_F(DataDirTest, RefusesWhatItDoesNotKnow) {
  fs::create_directory(base_ / "newer");
  write("newer/version", "3000\n");
  EXPECT_FALSE(open("newer").ok());
  fs::create_directory(base_ / "damaged");
  write("damaged/version", "two\n");
  EXPECT_FALSE(open("damaged").ok());
  fs::create_directory(base_ / "foreign");
  write("foreign/photo.jpg", "x");
  EXPECT_FALSE(open("foreign").ok());
  write("file", "x");
  EXPECT_FALSE(open("file").ok());
}

TEST_F(DataDirTest, AThrowAwayFolderGoes) {
  fs::path path;
  {
    auto dir = DataDir::open("", true, std::nullopt);
    ASSERT_TRUE(dir.ok());
    path = dir->path();
    ASSERT_TRUE(dir->server_folder("postgres").ok());
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(DataDirTest, SocketsHaveShortPlainPaths) {
  auto dir = open();
  ASSERT_TRUE(dir.ok());
  EXPECT_EQ(*dir->socket_folder(), dir->path() / "run");
  for (const std::string& name : {std::string(90, 'x'), std::string("with space, comma")}) {
    auto odd = open(name);
    ASSERT_TRUE(odd.ok());
    const fs::path sockets = *odd->socket_folder();
    EXPECT_LT(sockets.string().size(), 60u);
    struct stat info {};
    ASSERT_EQ(stat(sockets.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0700u);
  }
}

TEST_F(DataDirTest, SecretsAreMadeOnceAndCompleted) {
  auto first = load_secrets(base_);
  ASSERT_TRUE(first.ok());
  EXPECT_GE(first->postgres_admin.size(), 40u);
  EXPECT_EQ(first->access_tokens.substr(0, 3), "a1:");
  struct stat info {};
  ASSERT_EQ(stat((base_ / "secrets.json").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  auto again = load_secrets(base_);
  EXPECT_EQ(again->auth_role, first->auth_role);

  write("secrets.json", "{\"authRole\":\"kept\"}");
  auto completed = load_secrets(base_);
  ASSERT_TRUE(completed.ok());
  EXPECT_EQ(completed->auth_role, "kept");
  EXPECT_FALSE(completed->redis.empty());
  write("secrets.json", "{");
  EXPECT_FALSE(load_secrets(base_).ok());
}

TEST_F(DataDirTest, ALeftoverIsToldFromAnotherProcessWithItsPid) {
  auto dir = open();
  ASSERT_TRUE(dir.ok());
  // Our own pid, but not our own beginning: must not be waited for, let alone be killed.
  write("data/children", "postgres " + std::to_string(getpid()) + " 1\nredis-cache 999999999 5\n");
  dir->end_leftovers();
}

}  // namespace
}  // namespace raymesh::cli
