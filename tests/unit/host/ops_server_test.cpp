#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "libs/host/app.hpp"

namespace raymesh::host {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

/// A blocking client socket.
class Client {
 public:
  explicit Client(int port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { ::close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  void send(const std::string& bytes) {
    size_t done = 0;
    while (done < bytes.size()) {
      ssize_t n = ::send(fd_, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      if (n <= 0) return;
      done += static_cast<size_t>(n);
    }
  }
  /// Everything until the server closes, or 20 seconds without a byte.
  std::string read_to_end() {
    std::string out;
    char buffer[4096];
    pollfd p{fd_, POLLIN, 0};
    while (::poll(&p, 1, 20'000) > 0) {
      ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
      if (n <= 0) return out;
      out.append(buffer, static_cast<size_t>(n));
    }
    return out + "(still open)";
  }

 private:
  int fd_;
  bool connected_ = false;
};

class OpsServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto started = OpsServer::start("127.0.0.1:0", *registry_, {});
    ASSERT_TRUE(started.ok()) << started.error().message;
    server_ = std::move(*started);
  }
  std::string get(const std::string& path) {
    Client client(server_->port());
    client.send("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
    return client.read_to_end();
  }

  std::shared_ptr<metrics::Registry> registry_ = metrics::Registry::create();
  std::unique_ptr<OpsServer> server_;
};

TEST_F(OpsServerTest, AnswersOverASocketAndCloses) {
  EXPECT_THAT(get("/healthz"), testing::EndsWith("\r\n\r\nok\n"));
  EXPECT_THAT(get("/metrics"), HasSubstr("process_cpu_seconds_total"));
}

TEST_F(OpsServerTest, ChecksCanBeReplacedAndDrainingTurnsReadinessOff) {
  EXPECT_THAT(get("/readyz"), StartsWith("HTTP/1.1 200 "));
  server_->set_checks({{"db", [] { return Status(Error(errors::kUnavailable, "down")); }}});
  EXPECT_THAT(get("/readyz"), HasSubstr(R"("name":"db","ok":false)"));
  server_->set_checks({});
  EXPECT_THAT(get("/readyz"), StartsWith("HTTP/1.1 200 "));
  server_->set_draining();
  EXPECT_THAT(get("/readyz"), StartsWith("HTTP/1.1 503 "));
}

TEST_F(OpsServerTest, AHeadInPiecesIsPutTogether) {
  Client client(server_->port());
  for (char c : std::string("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
    client.send(std::string(1, c));
  EXPECT_THAT(client.read_to_end(), StartsWith("HTTP/1.1 200 "));
}

TEST_F(OpsServerTest, AnEndlessHeadIsRefused) {
  Client client(server_->port());
  client.send("GET /healthz HTTP/1.1\r\nX: " + std::string(20'000, 'x'));
  std::string answer = client.read_to_end();
  // The rest of what was sent may reset the connection before the answer is read.
  EXPECT_THAT(answer, testing::AnyOf("", StartsWith("HTTP/1.1 400 ")));
  EXPECT_THAT(get("/healthz"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(OpsServerTest, ASilentConnectionIsClosed) {
  Client client(server_->port());
  client.send("GET /hea");
  auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
}

TEST_F(OpsServerTest, AboveTheBoundConnectionsAreClosedAndServiceReturns) {
  std::vector<std::unique_ptr<Client>> open;
  for (int i = 0; i < 64; ++i) {
    open.push_back(std::make_unique<Client>(server_->port()));
    ASSERT_TRUE(open.back()->connected());
  }
  Client one_more(server_->port());
  EXPECT_EQ(one_more.read_to_end(), "");
  open.clear();
  // The server sees the closed ones in its own time.
  std::string answer;
  for (int i = 0; i < 1000 && answer.empty(); ++i) answer = get("/healthz");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
}

TEST_F(OpsServerTest, APortInUseAndABadAddressAreReported) {
  std::string taken = "127.0.0.1:" + std::to_string(server_->port());
  auto second = OpsServer::start(taken, *registry_, {});
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.error().message, HasSubstr(taken));
  auto bad = OpsServer::start("nonsense", *registry_, {});
  ASSERT_FALSE(bad.ok());
  EXPECT_THAT(bad.error().message, HasSubstr("nonsense"));
}

}  // namespace
}  // namespace raymesh::host
