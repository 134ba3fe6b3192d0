// A whole node whose public port speaks TLS.
#include <filesystem>

#include "libs/crypto/certificates.hpp"
#include "libs/crypto/random.hpp"
#include "libs/net/tls_context.hpp"
#include "node_fixture.hpp"

namespace raymesh::realtime {
namespace {

using Opcode = net::websocket::Opcode;

class TlsNodeTest : public NodeFixture {
 protected:
  TlsNodeTest() : folder_(std::filesystem::temp_directory_path() / crypto::random_uuid()) {
    crypto::CertificateRequest request;
    request.folder = folder_.string();
    const auto made = crypto::make_development_certificates(request);
    EXPECT_TRUE(made.ok());
    auto context = net::TlsContext::load(folder_ / "public.pem", folder_ / "public-key.pem");
    EXPECT_TRUE(context.ok());
    config_.tls = std::move(context).value();
  }
  ~TlsNodeTest() override { std::filesystem::remove_all(folder_); }

  WsClient connect_tls(const std::string& channel, int receive_buffer = 0) {
    WsClient client(node_->port(), receive_buffer);
    client.start_tls();
    EXPECT_EQ(client.handshake("/?token=" + token({channel})).substr(0, 12), "HTTP/1.1 101");
    return client;
  }

  std::filesystem::path folder_;
};

TEST_F(TlsNodeTest, DeliversOverTls) {
  start();
  auto a = connect_tls("r");
  auto b = connect_tls("r");
  for (int i = 0; i < 1'000; ++i) a.send_text(publish_frame("r", std::to_string(i)));
  for (int i = 0; i < 1'000; ++i) ASSERT_EQ(b.receive_text(), message("r", std::to_string(i)));
  b.send(Opcode::kClose, "\x03\xe8");
  EXPECT_EQ(b.receive_close(), 1000);
  b.read_to_end();
  eventually([&] { return node_->connections() == 1; });
}

TEST_F(TlsNodeTest, ASlowReaderGetsWholeFramesAndThenItsCloseFrame) {
  config_.limits.max_backlog_bytes = 256u << 10;
  start();
  auto slow = connect_tls("r", 256 * 1024);
  auto fast = connect_tls("r");
  const std::string payload = '"' + std::string(8'000, 'x') + '"';
  int sent = 0;
  while (publish("r", payload) == 2) {
    ++sent;
    ASSERT_EQ(fast.receive_text(), message("r", payload));
    ASSERT_LT(sent, 20'000);
  }
  EXPECT_EQ(slow.receive_close(), 4408);
}

TEST_F(TlsNodeTest, AChannelThatMayDropDoesSoOverTls) {
  config_.limits.max_backlog_bytes = 64u << 10;
  config_.rules = ChannelRules::parse({"r slow=drop"}).value();
  start();
  auto slow = connect_tls("r", 64 * 1024);
  auto fast = connect_tls("r");
  const std::string payload = '"' + std::string(2'000, 'x') + '"';
  for (int i = 0; i < 5'000; ++i) {
    ASSERT_EQ(publish("r", payload), 2u) << i;
    ASSERT_EQ(fast.receive_text(), message("r", payload));
  }
  std::string event = slow.receive_text();
  while (event == message("r", payload)) event = slow.receive_text();
  EXPECT_NE(event.find(R"("type":"gap")"), std::string::npos) << event;
}

TEST_F(TlsNodeTest, PlainBytesOnTheTlsPortEndTheConnection) {
  start();
  WsClient plain(node_->port());
  plain.send_raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  plain.read_to_end();
  eventually([&] { return node_->connections() == 0; });
}

}  // namespace
}  // namespace raymesh::realtime
