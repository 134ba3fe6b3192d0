#include "services/auth/project_store.hpp"
#include "tests/db/auth/auth_fixture.hpp"

namespace raymesh::auth {
namespace {

// The server goes away and comes back under a running service.
class OutageTest : public AuthFixture {
 protected:
  OutageTest() {
    migrate(server_);
    auto session = pg::Session::connect(server_.admin_url()).value();
    EXPECT_TRUE(ProjectStore(session).create("shop", "", {}).ok());
    config_.postgres_url = auth_url(server_);
  }
  ~OutageTest() override { stop(); }

  bool ready() { return app_->checks().front().ready().ok(); }

  raymesh::testing::PostgresServer server_;
};

TEST_F(OutageTest, AnswersUnavailableAndRecoversByItself) {
  ASSERT_EQ(code_of(signup("shop", "ada@example.org", "correct horse")), "ok");
  auto token = login("shop", "ada@example.org", "correct horse").value().access_token();
  wait_for([&] { return ready(); });

  server_.stop(raymesh::testing::PostgresServer::Stop::kImmediate);
  EXPECT_EQ(code_of(login("shop", "ada@example.org", "correct horse")), "unavailable");
  EXPECT_EQ(code_of(signup("shop", "bob@example.org", "correct horse")), "unavailable");
  EXPECT_EQ(code_of(verify("shop", token)), "unavailable");
  EXPECT_EQ(code_of(resolve("dc_x")), "unavailable");
  // No database is needed to see that a token is no good.
  EXPECT_FALSE(verify("shop", "garbage").value().valid());
  wait_for([&] { return !ready(); });

  server_.start();
  wait_for([&] { return code_of(login("shop", "ada@example.org", "correct horse")) == "ok"; });
  EXPECT_TRUE(verify("shop", token).value().valid());
  wait_for([&] { return ready(); });
}

TEST_F(OutageTest, FailuresOfTheServerAreNotTheUsers) {
  config_.login_burst = 2;
  config_.login_refill = std::chrono::hours(1);
  ASSERT_EQ(code_of(signup("shop", "ada@example.org", "correct horse")), "ok");
  server_.stop();
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(code_of(login("shop", "ada@example.org", "correct horse")), "unavailable");
  server_.start();
  wait_for([&] {
    auto code = code_of(login("shop", "ada@example.org", "correct horse"));
    EXPECT_NE(code, "rate_limited");
    return code == "ok";
  });
}

TEST_F(OutageTest, StartsWithoutItsServer) {
  server_.stop();
  start();
  EXPECT_FALSE(ready());
  server_.start();
  wait_for([&] { return ready(); });
}

TEST_F(OutageTest, RefusesToStartWithoutKeysOrDatabase) {
  auto refuses = [&](const Config& config) {
    auto app = make_app(config, env_);
    Status started = app->start();
    return started.ok() ? "" : started.error().message;
  };
  Config config = config_;
  config.token_keys = {};
  EXPECT_EQ(refuses(config), "auth: token-keys: no token key is given");
  config.token_keys = {"k1:short"};
  EXPECT_EQ(refuses(config),
            "auth: token-keys: token key 1 (k1): the secret has 5 bytes, at least 32 are needed");
  config = config_;
  config.postgres_url = "";
  EXPECT_EQ(refuses(config), "auth: postgres-url is missing");
  config = config_;
  config.listen = "0.0.0.0:0";
  EXPECT_NE(refuses(config), "");
}

}  // namespace
}  // namespace raymesh::auth
