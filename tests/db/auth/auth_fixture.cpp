#include "tests/db/auth/auth_fixture.hpp"

#include "libs/crypto/hash.hpp"
#include "libs/crypto/random.hpp"
#include "libs/pg/system_migrator.hpp"
#include "services/auth/project_store.hpp"
#include "services/auth/schema.hpp"

namespace raymesh::auth {
namespace {

using raymesh::testing::PostgresServer;

constexpr const char* kPassword = "auth-role-password";

}  // namespace

void migrate(const PostgresServer& server) {
  (void)pg::run_system_migrations(server.admin_url(),
                                  {{kSystemSchema, kPassword, system_migrations()}})
      .value();
}

PostgresServer& migrated_server() {
  static PostgresServer& server = [&]() -> PostgresServer& {
    migrate(PostgresServer::shared());
    return PostgresServer::shared();
  }();
  return server;
}

pg::Session admin_session() {
  return pg::Session::connect(migrated_server().admin_url()).value();
}

std::string auth_url(const PostgresServer& server) {
  return server.url(kSystemSchema, kPassword);
}

rpc::PeerConfig peer_config() {
  rpc::PeerConfig config;
  config.service = "raymesh.auth.v1.Auth";
  return config;
}

AuthFixture::AuthFixture() {
  config_.listen = "";
  config_.postgres_url = auth_url();
  config_.token_keys = {"k1:0123456789abcdef0123456789abcdef"};
}

AuthFixture::~AuthFixture() {
  stop();
}

void AuthFixture::start() {
  app_ = make_app(config_, env_);
  Status started = app_->start();
  ASSERT_TRUE(started.ok()) << started.error().message;
  peer_ = rpc::in_process_peer(peer_config(), app_->server());
}

void AuthFixture::stop() {
  peer_.reset();
  if (app_) app_->stop(std::chrono::seconds(5));
  app_.reset();
}

std::string AuthFixture::new_project(const std::vector<std::string>& signup_roles) {
  auto session = admin_session();
  std::string id = "p-" + crypto::random_uuid().substr(0, 13);
  EXPECT_TRUE(ProjectStore(session).create(id, "Project " + id, signup_roles).value().is_new);
  return id;
}

Result<v1::SignupReply> AuthFixture::signup(const std::string& project, const std::string& email,
                                            const std::string& password, const std::string& role,
                                            const std::string& name) {
  v1::SignupRequest request;
  request.set_email(email);
  request.set_password(password);
  request.set_role(role);
  request.set_name(name);
  return call<v1::SignupReply>("Signup", project, request);
}

Result<v1::LoginReply> AuthFixture::login(const std::string& project, const std::string& email,
                                          const std::string& password) {
  v1::LoginRequest request;
  request.set_email(email);
  request.set_password(password);
  return call<v1::LoginReply>("Login", project, request);
}

Result<v1::VerifyTokenReply> AuthFixture::verify(const std::string& project,
                                                 const std::string& token) {
  v1::VerifyTokenRequest request;
  request.set_access_token(token);
  return call<v1::VerifyTokenReply>("VerifyToken", project, request);
}

Result<v1::ResolveKeyReply> AuthFixture::resolve(const std::string& key) {
  v1::ResolveKeyRequest request;
  request.set_key_sha256(crypto::sha256(key));
  return call<v1::ResolveKeyReply>("ResolveKey", "", request);
}

}  // namespace raymesh::auth
