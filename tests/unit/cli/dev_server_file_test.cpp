#include "apps/raymesh/dev_server_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "tests/unit/cli/run_cli.hpp"

namespace raymesh::cli {
namespace {

class DevServerFileTest : public testing::Test {
 protected:
  DevServerFileTest() {
    std::string name = testing::TempDir() + "raymesh-cli-XXXXXX";
    dir_ = mkdtemp(name.data());
  }
  ~DevServerFileTest() override { std::filesystem::remove_all(dir_); }

  std::filesystem::path dir_;
};

TEST_F(DevServerFileTest, ReadsWhatWasWritten) {
  EXPECT_FALSE(read_dev_server(dir_).value().has_value());
  ASSERT_TRUE(write_dev_server(dir_, {"host=/x y", "se\"cret"}).ok());
  auto server = read_dev_server(dir_).value();
  ASSERT_TRUE(server.has_value());
  EXPECT_EQ(server->postgres_url, "host=/x y");
  EXPECT_EQ(server->project_secret, "se\"cret");
  remove_dev_server(dir_);
  EXPECT_FALSE(read_dev_server(dir_).value().has_value());
}

TEST_F(DevServerFileTest, IsReadableByItsOwnerOnly) {
  ASSERT_TRUE(write_dev_server(dir_, {"u", "s"}).ok());
  struct stat info {};
  ASSERT_EQ(stat((dir_ / "dev-server.json").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(DevServerFileTest, RefusesOtherFiles) {
  std::ofstream(dir_ / "dev-server.json") << "{}";
  EXPECT_FALSE(read_dev_server(dir_).ok());
}

TEST_F(DevServerFileTest, NamesTheServerForTheOtherCommands) {
  ASSERT_TRUE(write_dev_server(dir_, {"host=/nonexistent", "s"}).ok());
  auto result = run_cli({"key", "list", "--data-dir", dir_.string()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("/nonexistent"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace raymesh::cli
