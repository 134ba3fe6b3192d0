#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>
#include <utility>

#include "apps/raymesh/dev_options.hpp"
#include "apps/raymesh/kept_server.hpp"
#include "apps/raymesh/private_postgres.hpp"

namespace raymesh::cli {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

class KeptServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "raymesh-kept-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    base_ = name;
  }
  void TearDown() override { fs::remove_all(base_); }

  KeptServerSpec shell(const std::string& script) {
    KeptServerSpec spec;
    spec.name = "test";
    spec.child.command = {"/bin/sh", "-c", script};
    spec.child.folder = base_.string();
    spec.child.log_file = (base_ / "log").string();
    spec.child.death_signal = SIGTERM;
    spec.stop_signals = {SIGTERM};
    spec.answers = [this] { return fs::exists(base_ / "up"); };
    return spec;
  }

  fs::path base_;
};

TEST_F(KeptServerTest, IsReadyWhenItAnswersAndStopsWhenAsked) {
  KeptServer server(shell("trap 'echo bye; exit 0' TERM; touch up; while :; do sleep 0.01; done"));
  server.begin();
  ASSERT_TRUE(server.wait_ready().ok());
  server.stop(10s);
  EXPECT_EQ(last_lines((base_ / "log").string(), 1), "bye");
}

TEST_F(KeptServerTest, ShowsTheLogOfOneThatEndsAtOnce) {
  KeptServer server(shell("echo no luck today; exit 3"));
  server.begin();
  Status status = server.wait_ready();
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("exit code 3"), std::string::npos);
  EXPECT_NE(status.error().message.find("no luck today"), std::string::npos);
}

TEST_F(KeptServerTest, NamesAProgramThatCannotRun) {
  KeptServerSpec spec = shell("");
  spec.child.command = {"/nowhere/server"};
  KeptServer server(std::move(spec));
  server.begin();
  Status status = server.wait_ready();
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("exit code 127"), std::string::npos);
}

TEST_F(KeptServerTest, StartsAgainAndGivesUpInTheEnd) {
  KeptServerSpec spec = shell("echo x >> starts; touch up; exit 1");
  std::promise<void> given_up;
  spec.given_up = [&] { given_up.set_value(); };
  // The first life must be seen as ready: it answers from the beginning.
  std::ofstream(base_ / "up") << "";
  KeptServer server(std::move(spec));
  server.begin();
  ASSERT_TRUE(server.wait_ready().ok());
  ASSERT_EQ(given_up.get_future().wait_for(60s), std::future_status::ready);
  EXPECT_EQ(fs::file_size(base_ / "starts"), 2 * (KeptServer::kMaxRestarts + 1));
}

TEST_F(KeptServerTest, WithoutRoomOnItsDiskItIsNotStartedAgainAndNotGivenUp) {
  KeptServerSpec spec =
      shell("echo x >> starts; [ -e room ] || exit 1; while :; do sleep 0.01; done");
  std::ofstream(base_ / "up") << "";
  std::atomic<size_t> asked = 0;
  spec.has_room = [&] {
    ++asked;
    return fs::exists(base_ / "room");
  };
  spec.given_up = [] { ADD_FAILURE() << "given up"; };
  KeptServer server(std::move(spec));
  server.begin();
  ASSERT_TRUE(server.wait_ready().ok());
  const auto eventually = [](auto condition) {
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (!condition() && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return condition();
  };
  ASSERT_TRUE(eventually([&] { return asked >= 4; }));
  EXPECT_EQ(fs::file_size(base_ / "starts"), 2u);
  std::ofstream(base_ / "room") << "";
  EXPECT_TRUE(eventually([&] { return fs::file_size(base_ / "starts") == 4; }));
}

TEST_F(KeptServerTest, OneThatWaitsForRoomCanBeStopped) {
  KeptServerSpec spec = shell("exit 1");
  std::ofstream(base_ / "up") << "";
  std::promise<void> asked;
  spec.has_room = [&, first = true]() mutable {
    if (std::exchange(first, false)) asked.set_value();
    return false;
  };
  KeptServer server(std::move(spec));
  server.begin();
  ASSERT_TRUE(server.wait_ready().ok());
  ASSERT_EQ(asked.get_future().wait_for(30s), std::future_status::ready);
  server.stop(10s);
}

TEST_F(KeptServerTest, OneThatIgnoresTheSignalIsKilled) {
  KeptServerSpec spec = shell("trap '' TERM; touch up; while :; do sleep 0.01; done");
  pid_t pid = 0;
  spec.pid_changed = [&](pid_t now) {
    if (now != 0) pid = now;
  };
  KeptServer server(std::move(spec));
  server.begin();
  ASSERT_TRUE(server.wait_ready().ok());
  server.stop(200ms);
  EXPECT_NE(kill(pid, 0), 0);
}

TEST(LastLinesTest, AreTheLast) {
  const std::string file =
      (fs::temp_directory_path() / ("lines-" + std::to_string(getpid()))).string();
  EXPECT_EQ(last_lines(file, 3), "");
  std::ofstream(file) << "a\nb\nc\nd\n";
  EXPECT_EQ(last_lines(file, 2), "c\nd");
  EXPECT_EQ(last_lines(file, 9), "a\nb\nc\nd");
  std::ofstream(file) << std::string(100'000, 'x');
  EXPECT_EQ(last_lines(file, 1).size(), 4096u);
  fs::remove(file);
}

TEST(WithLoginTest, ReplacesTheLoginInBothForms) {
  EXPECT_EQ(with_login("postgresql://a:b@h/d", "u", "p&=/"),
            "postgresql://a:b@h/d?user=u&password=p%26%3D%2F");
  EXPECT_EQ(with_login("postgresql://h/d?port=1", "u", "p"),
            "postgresql://h/d?port=1&user=u&password=p");
  EXPECT_EQ(with_login("host=h user=a", "u", "it's \\"),
            "host=h user=a user='u' password='it\\'s \\\\'");
}

TEST(DevOptionsTest, TheWellKnownKeyStaysOnLoopback) {
  DevOptions options;
  for (const char* host : {"127.0.0.1", "::1", "localhost", "127.0.0.2"}) {
    options.listen = host;
    EXPECT_TRUE(options.check().ok()) << host;
  }
  for (const char* host : {"0.0.0.0", "::", "", "192.0.2.1", "example.com"}) {
    options.listen = host;
    options.api_key = kWellKnownKey;
    EXPECT_FALSE(options.check().ok()) << host;
    options.api_key = "dc_my_own_long_random_text";
    EXPECT_TRUE(options.check().ok()) << host;
  }
}

}  // namespace
}  // namespace raymesh::cli
