// The service as its callers see it: the gRPC methods over the in-process channel, and the sockets
// behind them.
#include <grpcpp/create_channel_posix.h>
#include <gtest/gtest.h>

#include "libs/actor/system.hpp"
#include "libs/crypto/key_ring.hpp"
#include "libs/crypto/random.hpp"
#include "libs/host/process.hpp"
#include "libs/rpc/server.hpp"
#include "raymesh/realtime/v1/realtime.grpc.pb.h"
#include "raymesh/realtime/v1/socket.pb.h"
#include "services/realtime/app.hpp"
#include "tests/support/ws_client.hpp"

namespace raymesh::realtime {
namespace {

using testing::WsClient;

class ServiceTest : public ::testing::Test {
 protected:
  ServiceTest() : registry_(metrics::Registry::create()), env_{common_, *registry_, actors_.get()} {
    config_.listen = "";
    config_.public_listen = "127.0.0.1:0";
    config_.token_keys = {crypto::KeyRing::generate("k1")};
  }

  void start() {
    app_ = make_app(config_, env_);
    const auto status = app_->start();
    ASSERT_TRUE(status.ok()) << status.error().message;
    stub_ = v1::Realtime::NewStub(
        grpc::CreateInsecureChannelFromFd("in-process", app_->server().connect_in_process()));
  }

  template <class Request>
  static Request request(const std::string& project = "p1") {
    Request r;
    r.mutable_context()->set_project(project);
    return r;
  }
  v1::MintReply mint(const std::string& channel, const std::string& identity = {}) {
    auto r = request<v1::MintRequest>();
    r.add_channels(channel);
    r.set_identity(identity);
    v1::MintReply reply;
    grpc::ClientContext context;
    const auto status = stub_->Mint(&context, r, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return reply;
  }
  grpc::Status publish(const std::string& channel, const std::string& payload,
                       uint64_t* delivered = nullptr) {
    auto r = request<v1::PublishRequest>();
    r.set_channel(channel);
    r.set_payload_json(payload);
    v1::PublishReply reply;
    grpc::ClientContext context;
    const auto status = stub_->Publish(&context, r, &reply);
    if (delivered) *delivered = reply.delivered();
    return status;
  }

  std::shared_ptr<metrics::Registry> registry_;
  actor::System actors_;
  host::CommonConfig common_;
  host::Env env_;
  Config config_;
  std::unique_ptr<App> app_;
  std::unique_ptr<v1::Realtime::Stub> stub_;
};

TEST_F(ServiceTest, MalformedTextOfAClientDoesNotReachTheLog) {
  host::prepare_process();  // as main does
  v1::Command command;
  command.mutable_subscribe()->set_channel("room");
  std::string bytes = command.SerializeAsString();
  bytes[bytes.find("room")] = '\xff';
  ::testing::internal::CaptureStderr();
  EXPECT_FALSE(command.ParseFromString(bytes));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST_F(ServiceTest, MintsATokenThatOpensASocketAtTheUrl) {
  start();
  const auto minted = mint("room", "ann");
  EXPECT_EQ(minted.url(), "ws://127.0.0.1:" + std::to_string(app_->public_port()));
  auto client = WsClient::open(app_->public_port(), "/?token=" + minted.token());

  uint64_t delivered = 0;
  ASSERT_TRUE(publish("room", R"({"n":1})", &delivered).ok());
  EXPECT_EQ(delivered, 1u);
  EXPECT_EQ(client.receive_text(), R"({"type":"message","channel":"room","payload":{"n":1}})");
  ASSERT_TRUE(publish("room", "", &delivered).ok());
  EXPECT_EQ(client.receive_text(), R"({"type":"message","channel":"room","payload":null})");
  ASSERT_TRUE(publish("empty", "1", &delivered).ok());
  EXPECT_EQ(delivered, 0u);

  auto r = request<v1::PresenceRequest>();
  r.set_channel("room");
  v1::PresenceReply presence;
  grpc::ClientContext context;
  ASSERT_TRUE(stub_->Presence(&context, r, &presence).ok());
  EXPECT_NE(presence.json().find(R"("identity":"ann")"), std::string::npos) << presence.json();
}

TEST_F(ServiceTest, TheConfiguredUrlIsWhatClientsGet) {
  config_.public_url = "wss://realtime.example.com";
  start();
  EXPECT_EQ(mint("room").url(), "wss://realtime.example.com");
}

TEST_F(ServiceTest, RefusesBadRequests) {
  config_.max_message_bytes = 1'000;
  start();
  EXPECT_EQ(publish("", "1").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(publish("a\nb", "1").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(publish("r", "{").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(publish("r", "1 2").error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(publish("r", '"' + std::string(1'000, 'x') + '"').error_code(),
            grpc::StatusCode::OUT_OF_RANGE);
  v1::MintReply reply;
  grpc::ClientContext context;
  EXPECT_EQ(stub_->Mint(&context, request<v1::MintRequest>(), &reply).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  grpc::ClientContext no_project;
  EXPECT_EQ(stub_->Mint(&no_project, request<v1::MintRequest>(""), &reply).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ServiceTest, DoesNotStartWithoutKeysOrWithHalfACertificate) {
  config_.token_keys.clear();
  EXPECT_FALSE(make_app(config_, env_)->start().ok());
  config_.token_keys = {"k1:short"};
  EXPECT_FALSE(make_app(config_, env_)->start().ok());
  config_.token_keys = {crypto::KeyRing::generate("k1")};
  config_.tls_cert = "/nowhere.pem";
  EXPECT_FALSE(make_app(config_, env_)->start().ok());
}

TEST_F(ServiceTest, AMemoryNodeDoesNotStartBesideAnotherOne) {
  common_.cluster_key = crypto::random_token();
  config_.listen = "127.0.0.1:0";
  config_.peers = {"127.0.0.1:1"};  // nobody
  start();
  Config second = config_;
  second.peers = {"127.0.0.1:" + std::to_string(app_->port())};
  const auto beside = make_app(second, env_);
  const Status status = beside->start();
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("another realtime node at " + second.peers[0]),
            std::string::npos)
      << status.error().message;
}

TEST_F(ServiceTest, RevokesHistoryAndNodeAreServed) {
  config_.channel_rules = {"c history=5"};
  start();
  publish("c", "1");
  publish("c", "2");
  auto r = request<v1::HistoryRequest>();
  r.set_channel("c");
  v1::HistoryReply page;
  grpc::ClientContext context;
  ASSERT_TRUE(stub_->History(&context, r, &page).ok());
  EXPECT_EQ(page.offset(), 2u);
  ASSERT_EQ(page.messages_size(), 2);
  EXPECT_EQ(page.messages(1).payload_json(), "2");
  auto revoke = request<v1::RevokeRequest>();
  v1::RevokeReply report;
  grpc::ClientContext without;
  EXPECT_EQ(stub_->Revoke(&without, revoke, &report).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  revoke.set_identity("ada");
  const auto minted = mint("c", "ada");
  WsClient client = WsClient::open(app_->public_port(), "/?token=" + minted.token());
  grpc::ClientContext with;
  ASSERT_TRUE(stub_->Revoke(&with, revoke, &report).ok());
  EXPECT_EQ(report.closed(), 1u);
  EXPECT_EQ(client.receive_close(), 4503);
}

}  // namespace
}  // namespace raymesh::realtime
