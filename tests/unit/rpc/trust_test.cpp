// Who is believed, and who is not: contexts, certificates, keys, service tokens.
#include <gmock/gmock.h>
#include <grpcpp/create_channel_posix.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "libs/crypto/certificates.hpp"
#include "libs/crypto/jwt.hpp"
#include "libs/rpc/service_token.hpp"
#include "tests/unit/rpc/raw_stream.hpp"

namespace raymesh::rpc::test {
namespace {

using common::v1::CallContext;
using raymesh::test::v1::Echo;
using raymesh::test::v1::EchoReply;
using raymesh::test::v1::EchoRequest;
using raymesh::test::v1::WhoReply;

constexpr char kTokenKey[] = "k1:0123456789abcdef0123456789abcdef";

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/raymesh-rpc-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Certificates are made once: keys take a moment.
class TrustTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new Folder;
    make(*folder_ / "mesh");
    make(*folder_ / "foreign");
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static void make(const std::string& folder) {
    auto made = crypto::make_development_certificates({.folder = folder, .public_names = {}});
    ASSERT_TRUE(made.ok()) << made.error().message;
  }
  static TlsFiles files(const std::string& role, const std::string& mesh = "mesh") {
    return {*folder_ / (mesh + "/" + role + ".pem"), *folder_ / (mesh + "/" + role + "-key.pem"),
            *folder_ / (mesh + "/ca.pem")};
  }
  // The echo service is "raymesh.test.v1.Echo", so its role is "test"; it borrows storage's key and
  // is called by that name.
  static ServerConfig tls_config() {
    ServerConfig config;
    config.name = "test";
    config.service = kEchoName;
    config.address = "127.0.0.1:0";
    config.credentials.tls = files("storage");
    config.credentials.service_token_keys = {kTokenKey};
    return config;
  }
  static std::unique_ptr<Echo::Stub> tls_stub(const EchoServer& server, const std::string& role,
                                              const std::string& mesh = "mesh") {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = read_file(*folder_ / "mesh/ca.pem");
    if (!role.empty()) {
      options.pem_cert_chain = read_file(files(role, mesh).certificate);
      options.pem_private_key = read_file(files(role, mesh).key);
    }
    return Echo::NewStub(grpc::CreateChannel(server.address(), grpc::SslCredentials(options)));
  }

  static Folder* folder_;
};
Folder* TrustTest::folder_ = nullptr;

struct Answer {
  grpc::Status status;
  WhoReply who;
  std::string code;
};

Answer who(Echo::Stub& stub, const CallContext& context = {}, const std::string& token = {},
           const std::string& key = {}) {
  Answer answer;
  grpc::ClientContext c;
  c.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  if (!token.empty()) c.AddMetadata("authorization", "Bearer " + token);
  if (!key.empty()) c.AddMetadata(kClusterKeyMetadata, key);
  EchoRequest request;
  *request.mutable_context() = context;
  answer.status = stub.Who(&c, request, &answer.who);
  auto it = c.GetServerTrailingMetadata().find("raymesh-error-bin");
  if (it != c.GetServerTrailingMetadata().end()) {
    common::v1::Error error;
    EXPECT_TRUE(error.ParseFromString({it->second.data(), it->second.size()}));
    answer.code = error.code();
  }
  return answer;
}

CallContext context_of(const std::string& project, const std::string& user = {}) {
  CallContext context;
  context.set_project(project);
  context.set_user(user);
  return context;
}

crypto::KeyRing ring(const std::string& pair = kTokenKey) {
  const std::string pairs[] = {pair};
  return std::move(*crypto::KeyRing::parse(pairs));
}

std::string token_for(const std::string& project) {
  return *sign_service_token(ring(), project, std::chrono::hours(1));
}

// ---- Certificates ----

TEST_F(TrustTest, TheGatewaysCertificateIsBelieved) {
  EchoServer server(tls_config());
  auto stub = tls_stub(server, "gateway");
  const auto answer = who(*stub, context_of("p1", "u1"));
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(answer.who.kind(), "gateway");
  EXPECT_EQ(answer.who.project(), "p1");
  EXPECT_EQ(answer.who.user(), "u1");
}

TEST_F(TrustTest, AnotherServicesCertificateIsNotTheGateways) {
  EchoServer server(tls_config());
  for (const char* role : {"auth", "storage", "cache", "realtime", "cli"}) {
    auto stub = tls_stub(server, role);
    const auto plain = who(*stub);
    ASSERT_TRUE(plain.status.ok()) << role << ": " << plain.status.error_message();
    EXPECT_EQ(plain.who.kind(), "service");
    EXPECT_EQ(plain.who.name(), role);
    for (const auto& context : {context_of("p1"), context_of("", "u1")}) {
      const auto forged = who(*stub, context);
      EXPECT_EQ(forged.status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << role;
      EXPECT_EQ(forged.code, "untrusted_context") << role;
    }
    grpc::ClientContext c;
    EchoReply reply;
    EXPECT_EQ(stub->Echo(&c, EchoRequest(), &reply).error_code(),
              grpc::StatusCode::PERMISSION_DENIED)
        << role;
  }
}

TEST_F(TrustTest, EachMethodHasItsCallers) {
  EchoServer server(tls_config());
  EchoReply reply;
  grpc::ClientContext as_cli;
  EXPECT_TRUE(tls_stub(server, "cli")->Admin(&as_cli, EchoRequest(), &reply).ok());
  grpc::ClientContext as_gateway;
  EXPECT_EQ(tls_stub(server, "gateway")->Admin(&as_gateway, EchoRequest(), &reply).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  grpc::ClientContext as_cache;
  EXPECT_EQ(tls_stub(server, "cache")->Admin(&as_cache, EchoRequest(), &reply).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(TrustTest, ACallerWithoutACertificateDoesNotGetIn) {
  EchoServer server(tls_config());
  auto stub = tls_stub(server, "");
  EXPECT_EQ(who(*stub).status.error_code(), grpc::StatusCode::UNAVAILABLE);
  auto plain =
      Echo::NewStub(grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials()));
  EXPECT_EQ(who(*plain, {}, {}, kClusterKey).status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TrustTest, ACertificateOfAnotherAuthorityDoesNotGetIn) {
  EchoServer server(tls_config());
  auto stub = tls_stub(server, "gateway", "foreign");
  EXPECT_EQ(who(*stub).status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TrustTest, ThePublicCertificateIsNoIdentity) {
  EchoServer server(tls_config());
  auto stub = tls_stub(server, "public");
  EXPECT_FALSE(who(*stub).status.ok());
}

TEST_F(TrustTest, APeerCallsOverMutualTls) {
  auto config = tls_config();
  EchoServer server(config);
  auto peer_config = server.peer_config();
  peer_config.role = "storage";
  auto peer = connect(peer_config, {files("gateway"), ""});
  auto reply = echo(*peer, "secret");
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(*reply, "secret");
}

TEST_F(TrustTest, APeerRefusesAServerOfAnotherRoleOrAuthority) {
  auto config = tls_config();
  config.credentials.tls = files("cache");
  EchoServer other_role(config);
  auto peer_config = other_role.peer_config();
  peer_config.role = "storage";
  peer_config.limits.max_wait = std::chrono::milliseconds(300);
  EXPECT_TRUE(
      echo(*connect(peer_config, {files("gateway"), ""}), "x").error().is(errors::kUnavailable));

  config.credentials.tls = files("storage", "foreign");
  EchoServer foreign(config);
  peer_config.endpoints = {foreign.address()};
  EXPECT_TRUE(
      echo(*connect(peer_config, {files("gateway"), ""}), "x").error().is(errors::kUnavailable));
}

TEST_F(TrustTest, RenewedCertificatesAreReadWithoutARestart) {
  const std::string live = *folder_ / "live";
  std::filesystem::copy(*folder_ / "mesh", live);
  auto config = tls_config();
  config.credentials.tls = files("storage", "live");
  EchoServer server(config);
  auto stub = tls_stub(server, "gateway");
  ASSERT_TRUE(who(*stub).status.ok());
  // From now on the service believes the foreign authority, and shows its certificate.
  for (const char* name : {"storage.pem", "storage-key.pem", "ca.pem"})
    std::filesystem::copy_file(*folder_ / ("foreign/" + std::string(name)),
                               live + "/" + std::string(name),
                               std::filesystem::copy_options::overwrite_existing);
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = read_file(*folder_ / "foreign/ca.pem");
  options.pem_cert_chain = read_file(files("gateway", "foreign").certificate);
  options.pem_private_key = read_file(files("gateway", "foreign").key);
  const auto give_up = Clock::now() + std::chrono::seconds(20);
  bool taken = false;
  while (!taken && Clock::now() < give_up) {
    auto renewed =
        Echo::NewStub(grpc::CreateChannel(server.address(), grpc::SslCredentials(options)));
    taken = who(*renewed).status.ok();
  }
  EXPECT_TRUE(taken);
}

// ---- The in-process connection and the cluster key ----

TEST_F(TrustTest, TheInProcessConnectionIsTheGateway) {
  auto config = EchoServer::config();
  config.address = "";
  config.credentials = {};
  EchoServer server(config);
  auto stub = Echo::NewStub(
      grpc::CreateInsecureChannelFromFd("in-process", server.server->connect_in_process()));
  const auto answer = who(*stub, context_of("p1", "u1"));
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(answer.who.kind(), "gateway");
  EXPECT_EQ(answer.who.user(), "u1");
}

TEST_F(TrustTest, OverASocketTheClusterKeyIsNeeded) {
  Folder folder;
  for (const std::string& address : {std::string("127.0.0.1:0"), "unix:" + (folder / "s")}) {
    auto config = EchoServer::config();
    config.address = address;
    EchoServer server(config);
    auto stub =
        Echo::NewStub(grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials()));
    EXPECT_EQ(who(*stub, {}, {}, kClusterKey).who.kind(), "gateway");
    for (const std::string& key : {std::string(), std::string("wrong-key-wrong-key"),
                                   std::string(kClusterKey) + "x", std::string("a")}) {
      const auto answer = who(*stub, {}, {}, key);
      EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << key;
      EXPECT_EQ(answer.code, "unauthenticated");
    }
    RawStream raw(server.address(), "wrong-key-wrong-key");
    common::v1::ServerFrame frame;
    EXPECT_FALSE(raw.receive(frame));
    EXPECT_EQ(raw.finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  }
}

TEST_F(TrustTest, APeerWithTheWrongKeySaysWhy) {
  EchoServer server;
  auto config = server.peer_config();
  config.limits.max_wait = std::chrono::milliseconds(200);
  auto peer = connect(config, {{}, "another-key-of-the-cluster"});
  auto reply = echo(*peer, "x");
  ASSERT_FALSE(reply.ok());
  EXPECT_TRUE(reply.error().is(errors::kUnavailable));
  EXPECT_THAT(reply.error().message, testing::HasSubstr("cluster key"));
}

TEST_F(TrustTest, RefusesToBindWhatIsNotSafe) {
  const TlsFiles tls = files("storage");
  const auto check = [](const char* address, ServerCredentials credentials) {
    return check_bind(address, credentials).ok();
  };
  const ServerCredentials key{{}, kClusterKey, {}};
  EXPECT_TRUE(check("127.0.0.1:5002", key));
  EXPECT_TRUE(check("[::1]:5002", key));
  EXPECT_TRUE(check("localhost:5002", key));
  EXPECT_TRUE(check("unix:/tmp/x", key));
  EXPECT_TRUE(check("0.0.0.0:5002", {tls, "", {}}));
  EXPECT_TRUE(check("", {}));
  for (const char* address :
       {"0.0.0.0:5002", "[::]:5002", "10.0.0.1:5002", "storage:5002", "127.0.0.1.example.org:5002",
        "127.example.org:5002", "localhost.example.org:5002", ":5002", "*:5002"})
    EXPECT_FALSE(check(address, key)) << address;
  EXPECT_FALSE(check("127.0.0.1:5002", {}));
  EXPECT_FALSE(check("127.0.0.1:5002", {{}, "short", {}}));
  EXPECT_FALSE(check("127.0.0.1:5002", {{tls.certificate, "", ""}, kClusterKey, {}}));
  EXPECT_FALSE(check("0.0.0.0:5002", {{tls.certificate, tls.key, ""}, "", {}}));
  EXPECT_FALSE(check("0.0.0.0:5002", {{tls.certificate, tls.key, "/nowhere"}, "", {}}));
  EXPECT_FALSE(
      check("0.0.0.0:5002", {{tls.certificate, files("cache").key, tls.authority}, "", {}}))
      << "a key that does not fit its certificate";

  auto config = EchoServer::config();
  config.address = "0.0.0.0:0";
  EXPECT_FALSE(start_echo(config, std::make_shared<Held>()).ok());

  PeerConfig peer;
  peer.service = kEchoName;
  peer.endpoints = {"dns:storage.example.org:5002"};
  EXPECT_FALSE(connect_peer(peer, {{}, kClusterKey}).ok()) << "the key would leave the machine";
}

// ---- Service tokens ----

TEST_F(TrustTest, AServiceTokenActsInItsProject) {
  EchoServer server(tls_config());
  auto stub = tls_stub(server, "program");
  const auto answer = who(*stub, {}, token_for("p1"));
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(answer.who.kind(), "token");
  EXPECT_EQ(answer.who.project(), "p1");
  EXPECT_TRUE(who(*stub, context_of("p1"), token_for("p1")).status.ok());
}

TEST_F(TrustTest, AServiceTokenDoesNotActElsewhere) {
  EchoServer server(tls_config());
  // Not even with the gateway's certificate beside it.
  for (const char* role : {"program", "gateway"}) {
    auto stub = tls_stub(server, role);
    EXPECT_EQ(who(*stub, context_of("p2"), token_for("p1")).code, "wrong_project");
    EXPECT_EQ(who(*stub, context_of("p1", "u1"), token_for("p1")).code, "untrusted_context");
    auto context = context_of("p1");
    context.set_session("s");
    EXPECT_EQ(who(*stub, context, token_for("p1")).code, "untrusted_context");
  }
  grpc::ClientContext c;
  c.AddMetadata("authorization", "Bearer " + token_for("p1"));
  EchoReply reply;
  EXPECT_EQ(tls_stub(server, "gateway")->Make(&c, {}, &reply).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(TrustTest, BadServiceTokensAreRefused) {
  auto config = EchoServer::config();
  config.credentials.service_token_keys = {kTokenKey};
  EchoServer server(config);
  auto stub =
      Echo::NewStub(grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials()));
  const std::string good = token_for("p1");
  ASSERT_TRUE(who(*stub, {}, good).status.ok());

  std::string tampered = good;
  tampered[tampered.size() / 2] ^= 1;
  const std::string expired =
      "rst_" +
      crypto::jwt::sign(ring(),
                        R"({"aud":"raymesh-service","sub":"p1","jti":"j","iat":1000,"exp":2000})");
  const std::string foreign_audience =
      "rst_" +
      crypto::jwt::sign(
          ring(), R"({"aud":"raymesh-user","sub":"p1","jti":"j","iat":1000,"exp":99999999999})");
  const std::string no_project =
      "rst_" + crypto::jwt::sign(
                   ring(), R"({"aud":"raymesh-service","jti":"j","iat":1000,"exp":99999999999})");
  const std::string wrong_kid =
      *sign_service_token(ring("k2:0123456789abcdef0123456789abcdef"), "p1", std::chrono::hours(1));
  const std::string wrong_secret =
      *sign_service_token(ring("k1:ffffffffffffffffffffffffffffffff"), "p1", std::chrono::hours(1));
  for (const auto& token :
       {tampered, expired, foreign_audience, no_project, wrong_kid, wrong_secret, good.substr(4),
        std::string("rst_"), std::string("rst_a.b.c"), good + "x"}) {
    const auto answer = who(*stub, {}, token);
    EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << token;
    EXPECT_EQ(answer.code, "unauthenticated");
    EXPECT_THAT(answer.status.error_message(), testing::Not(testing::HasSubstr(good.substr(4))));
  }
  // A bad token is not made good by the cluster key beside it.
  EXPECT_EQ(who(*stub, {}, wrong_kid, kClusterKey).code, "unauthenticated");
}

TEST_F(TrustTest, TokensNeedKeys) {
  EchoServer server;
  auto stub =
      Echo::NewStub(grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials()));
  EXPECT_EQ(who(*stub, {}, token_for("p1")).code, "unauthenticated");
  EXPECT_FALSE(sign_service_token(ring(), "", std::chrono::hours(1)).ok());
  EXPECT_FALSE(sign_service_token(ring(), "p1", std::chrono::seconds(0)).ok());
}

// ---- The files ----

TEST_F(TrustTest, CertificateFilesArePrivateAndNotOverwritten) {
  Folder folder;
  auto made = crypto::make_development_certificates({.folder = folder / "new", .public_names = {}});
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->size(), 2 * (std::size(crypto::kRoles) + 2));
  for (const auto& file : *made) {
    struct stat info {};
    ASSERT_EQ(stat(file.c_str(), &info), 0) << file;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << file;
  }
  const std::string before = read_file(made->front());
  EXPECT_FALSE(
      crypto::make_development_certificates({.folder = folder / "new", .public_names = {}}).ok());
  EXPECT_EQ(read_file(made->front()), before);
  auto forced = crypto::make_development_certificates(
      {.folder = folder / "new", .force = true, .public_names = {"api.example.org", "10.0.0.9"}});
  ASSERT_TRUE(forced.ok()) << forced.error().message;
  EXPECT_NE(read_file(made->front()), before);
  for (const char* name : {"", "a,DNS:gateway.raymesh", "gateway.raymesh"})
    EXPECT_FALSE(
        crypto::make_development_certificates({.folder = folder / "bad", .public_names = {name}})
            .ok())
        << name;
  EXPECT_FALSE(crypto::make_development_certificates(
                   {.folder = folder / "bad", .days = 826, .public_names = {}})
                   .ok());
}

}  // namespace
}  // namespace raymesh::rpc::test
