#include <grpcpp/grpcpp.h>

#include "libs/crypto/key_ring.hpp"
#include "libs/rpc/credentials.hpp"
#include "libs/rpc/service_token.hpp"
#include "raymesh/auth/v1/auth.grpc.pb.h"
#include "services/auth/key_store.hpp"
#include "tests/db/auth/auth_fixture.hpp"

namespace raymesh::auth {
namespace {

// Over TCP with plain gRPC, as another program would call.
class CallersTest : public AuthFixture {
 protected:
  CallersTest() : project_(new_project()) {
    config_.listen = "127.0.0.1:0";
    common_.cluster_key = "cluster-key-of-the-test-0123456789";
    common_.service_token_keys = {"s1:abcdef0123456789abcdef0123456789"};
    start();
    stub_ = v1::Auth::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(app_->port()),
                                                  grpc::InsecureChannelCredentials()));
  }

  std::string service_token() {
    auto keys = crypto::KeyRing::parse(common_.service_token_keys).value();
    return rpc::sign_service_token(keys, project_, std::chrono::minutes(1)).value();
  }

  grpc::Status signup_as(const std::string& token, const std::string& context_project) {
    grpc::ClientContext context;
    if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
    v1::SignupRequest request;
    request.set_email("ada@example.org");
    request.set_password("correct horse");
    request.mutable_context()->set_project(context_project);
    v1::SignupReply reply;
    return stub_->Signup(&context, request, &reply);
  }

  std::string project_;
  std::unique_ptr<v1::Auth::Stub> stub_;
};

TEST_F(CallersTest, StrangersAreRefused) {
  EXPECT_EQ(signup_as("", project_).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(signup_as("rst_garbage", project_).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext context;
  v1::ResolveKeyRequest request;
  request.set_key_sha256(std::string(32, 'x'));
  v1::ResolveKeyReply reply;
  EXPECT_EQ(stub_->ResolveKey(&context, request, &reply).error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(CallersTest, AServiceTokenActsInItsProjectOnly) {
  EXPECT_FALSE(signup_as(service_token(), new_project()).ok());
  EXPECT_TRUE(signup_as(service_token(), "").ok());
  EXPECT_EQ(code_of(login(project_, "ada@example.org", "correct horse")), "ok");
}

TEST_F(CallersTest, AServiceTokenMayNotResolveKeys) {
  auto session = admin_session();
  auto key = KeyStore(session).create({.project_id = project_}).value();
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer " + service_token());
  v1::ResolveKeyRequest request;
  request.set_key_sha256(std::string(32, 'x'));
  v1::ResolveKeyReply reply;
  EXPECT_EQ(stub_->ResolveKey(&context, request, &reply).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(CallersTest, TheClusterKeyIsTheGateway) {
  auto config = peer_config();
  config.endpoints = {"127.0.0.1:" + std::to_string(app_->port())};
  auto peer = rpc::connect_peer(config, {{}, common_.cluster_key}).value();
  std::swap(peer, peer_);
  EXPECT_EQ(code_of(resolve("dc_nothing")), "invalid_api_key");
  std::swap(peer, peer_);
}

}  // namespace
}  // namespace raymesh::auth
