#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/cli/run_cli.hpp"

namespace raymesh::cli {
namespace {

TEST(CertsCommandTest, WritesCertificatesOnce) {
  std::string name = testing::TempDir() + "raymesh-certs-XXXXXX";
  const std::filesystem::path dir = mkdtemp(name.data());
  const std::string out = (dir / "certs").string();
  auto first = run_cli({"certs", "dev", "--out", out});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  for (const char* file : {"ca.pem", "gateway.pem", "auth-key.pem", "public.pem"}) {
    EXPECT_TRUE(std::filesystem::exists(dir / "certs" / file)) << file;
    EXPECT_THAT(first.out, testing::HasSubstr(file));
  }
  auto second = run_cli({"certs", "dev", "--out", out});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, testing::HasSubstr(out));
  auto forced = run_cli({"certs", "dev", "--out", out, "--force", "--json"});
  EXPECT_EQ(forced.exit_code, 0) << forced.err;
  EXPECT_THAT(forced.out, testing::StartsWith("{\"files\":[\""));
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace raymesh::cli
