// Ten thousand idle sockets at the program itself, so that its memory is its own. Takes some
// seconds and 10,000 descriptors on each side, so it runs at night.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>
#include <vector>

#include "libs/crypto/jwt.hpp"
#include "services/realtime/realtime_token.hpp"
#include "tests/support/ws_client.hpp"

namespace raymesh::realtime {
namespace {

using testing::WsClient;

constexpr int kConnections = 10'000;
constexpr int kPort = 14'904;

/// raymesh-realtime, ended with the test.
class Program {
 public:
  explicit Program(const std::string& token_key) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    const std::string port = "127.0.0.1:" + std::to_string(kPort);
    ::setenv("RAYMESH_REALTIME_TOKEN_KEYS", token_key.c_str(), 1);
    ::execl(RAYMESH_PROGRAM, RAYMESH_PROGRAM, "--listen", "", "--ops-listen", "", "--public-listen",
            port.c_str(), "--log-level", "error", nullptr);
    ::_exit(127);
  }
  ~Program() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  size_t resident_bytes() const {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/statm");
    size_t total = 0;
    size_t resident = 0;
    file >> total >> resident;
    return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  }
  /// User and system time so far, in seconds.
  double cpu_seconds() const {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
    std::string text((std::istreambuf_iterator<char>(file)), {});
    std::istringstream fields(text.substr(text.rfind(')') + 2));
    std::string skip;
    for (int i = 0; i < 11; ++i) fields >> skip;
    double user = 0;
    double system = 0;
    fields >> user >> system;
    return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }

 private:
  pid_t pid_;
};

TEST(IdleConnectionsTest, TenThousandTakeLittleMemoryAndNoProcessor) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  ASSERT_GE(limit.rlim_max, static_cast<rlim_t>(kConnections + 200));
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);

  const std::vector<std::string> keys{crypto::KeyRing::generate("k1")};
  const RealtimeTokens tokens(crypto::KeyRing::parse(keys).value(), TokenLimits{});
  Grant grant;
  grant.project = "p1";
  grant.channels = {"room"};
  const std::string target =
      "/?token=" + tokens.mint(grant, 3'600, crypto::jwt::unix_now()).value();
  Program program(keys[0]);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  std::vector<WsClient> clients;
  while (clients.empty() && std::chrono::steady_clock::now() < end) try {
      clients.push_back(WsClient::open(kPort, target));
    } catch (const std::system_error&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  ASSERT_FALSE(clients.empty()) << "the program did not start";

  const size_t before = program.resident_bytes();
  while (clients.size() < kConnections) clients.push_back(WsClient::open(kPort, target));
  const size_t each = (program.resident_bytes() - before) / kConnections;
  std::printf("%zu bytes for each of %d idle connections\n", each, kConnections);
  RecordProperty("bytes_per_connection", static_cast<int>(each));
  EXPECT_LT(each, 3'072u);

  const double cpu = program.cpu_seconds();
  std::this_thread::sleep_for(std::chrono::seconds(3));  // what is measured is time that passes
  EXPECT_LT(program.cpu_seconds() - cpu, 0.05);

  // All of them are there, and get a message.
  clients[0].send_text(R"({"type":"publish","channel":"room","payload":1})");
  for (size_t i = 1; i < clients.size(); ++i)
    ASSERT_EQ(clients[i].receive_text(), R"({"type":"message","channel":"room","payload":1})");
}

}  // namespace
}  // namespace raymesh::realtime
