// The real auth service over a real PostgreSQL, called through the in-process channel as the
// gateway does. Each test has a service and projects of its own in the program's one server.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "libs/actor/system.hpp"
#include "libs/host/app.hpp"
#include "libs/pg/session.hpp"
#include "libs/rpc/peer.hpp"
#include "raymesh/auth/v1/auth.pb.h"
#include "raymesh/common/v1/calls.pb.h"
#include "services/auth/app.hpp"
#include "tests/support/postgres_fixture.hpp"

namespace raymesh::auth {

/// One server with the schema for the whole program.
raymesh::testing::PostgresServer& migrated_server();
pg::Session admin_session();
/// The login that the service has.
std::string auth_url(const raymesh::testing::PostgresServer& server = migrated_server());
/// Runs the system migrations in another server.
void migrate(const raymesh::testing::PostgresServer& server);

/// The auth service, endpoints left open.
rpc::PeerConfig peer_config();

/// Asks every few milliseconds, for at most half a minute.
template <class Condition>
void wait_for(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "waited in vain";
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

class AuthFixture : public ::testing::Test {
 protected:
  AuthFixture();
  ~AuthFixture() override;

  /// Starts the service with `config_` and `common_`; the first call does it by itself.
  void start();
  void stop();
  /// A new project with an unused id, which is returned.
  std::string new_project(const std::vector<std::string>& signup_roles = {"user"});

  template <class Reply, class Request>
  Result<Reply> call(const std::string& method, const std::string& project,
                     const Request& request) {
    if (!peer_) start();
    common::v1::CallContext context;
    context.set_project(project);
    context.set_client_address(client_address_);
    std::promise<Result<Reply>> answer;
    peer_->call<Reply>(method, context, request, {},
                       UniqueFunction<void(Result<Reply>)>(
                           [&](Result<Reply> reply) { answer.set_value(std::move(reply)); }));
    return answer.get_future().get();
  }

  Result<v1::SignupReply> signup(const std::string& project, const std::string& email,
                                 const std::string& password, const std::string& role = "",
                                 const std::string& name = "");
  Result<v1::LoginReply> login(const std::string& project, const std::string& email,
                               const std::string& password);
  Result<v1::VerifyTokenReply> verify(const std::string& project, const std::string& token);
  Result<v1::ResolveKeyReply> resolve(const std::string& key);

  Config config_;
  host::CommonConfig common_;
  std::string client_address_;
  std::shared_ptr<metrics::Registry> metrics_ = metrics::Registry::create();
  actor::System actors_{2};
  host::Env env_{common_, *metrics_, actors_.get()};
  std::unique_ptr<App> app_;
  std::shared_ptr<rpc::Peer> peer_;
};

/// For EXPECT_THAT-like lines: the code of a failure, or "ok".
template <class T>
std::string code_of(const Result<T>& result) {
  return result.ok() ? "ok" : std::string(result.error().code());
}

}  // namespace raymesh::auth
