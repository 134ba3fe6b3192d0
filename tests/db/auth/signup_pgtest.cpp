#include <thread>

#include "tests/db/auth/auth_fixture.hpp"

namespace raymesh::auth {
namespace {

class SignupTest : public AuthFixture {};

TEST_F(SignupTest, MakesAUserWhoCanLogIn) {
  const auto project = new_project();
  auto reply = signup(project, " Ada@Example.org ", "correct horse", "", "Ada");
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(reply->user_id().size(), 36u);
  EXPECT_TRUE(reply->verified());
  EXPECT_FALSE(reply->verification_required());
  EXPECT_EQ(login(project, "ada@example.ORG", "correct horse").value().user_id(), reply->user_id());
}

TEST_F(SignupTest, StoresAHashAndNeverThePassword) {
  const auto project = new_project();
  auto id = signup(project, "ada@example.org", "correct horse").value().user_id();
  auto hash = migrated_server()
                  .query("SELECT password_hash FROM raymesh_auth.users WHERE id = '" + id + "'")
                  .value();
  EXPECT_TRUE(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$")) << hash;
}

TEST_F(SignupTest, AnAddressHasOneAccountPerProject) {
  const auto project = new_project();
  const auto other = new_project();
  EXPECT_EQ(code_of(signup(project, "ada@example.org", "correct horse")), "ok");
  for (const char* same : {"ada@example.org", "ADA@example.ORG", "\tada@example.org\n"}) {
    auto again = signup(project, same, "another pass");
    ASSERT_EQ(code_of(again), "EmailExists");
    EXPECT_EQ(again.error().http_status(), 409);
    EXPECT_EQ(again.error().message, "Email already registered");
  }
  EXPECT_EQ(code_of(signup(other, "ada@example.org", "correct horse")), "ok");
  // What failed changed nothing.
  EXPECT_EQ(code_of(login(project, "ada@example.org", "correct horse")), "ok");
  EXPECT_EQ(code_of(login(project, "ada@example.org", "another pass")), "InvalidCredentials");
}

TEST_F(SignupTest, OfManyAtOnceOneWins) {
  const auto project = new_project();
  start();
  std::vector<std::string> codes(8);
  std::vector<std::thread> threads;
  for (auto& code : codes)
    threads.emplace_back(
        [&] { code = code_of(signup(project, "ada@example.org", "correct horse")); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(std::count(codes.begin(), codes.end(), "ok"), 1);
  EXPECT_EQ(std::count(codes.begin(), codes.end(), "EmailExists"), 7);
}

TEST_F(SignupTest, SaysWhatIsMissing) {
  const auto project = new_project();
  for (const auto& [email, password] : std::vector<std::pair<std::string, std::string>>{
           {"", ""}, {"ada@example.org", ""}, {"", "correct horse"}, {"  ", "correct horse"}}) {
    auto reply = signup(project, email, password);
    ASSERT_EQ(code_of(reply), "invalid_request");
    EXPECT_EQ(reply.error().message, "Email and password are required");
    EXPECT_EQ(reply.error().http_status(), 400);
  }
}

TEST_F(SignupTest, RefusesBadInput) {
  const auto project = new_project();
  EXPECT_EQ(code_of(signup(project, "not an address", "correct horse")), "invalid_email");
  EXPECT_EQ(code_of(signup(project, std::string("a\0@b.org", 8), "correct horse")),
            "invalid_email");
  EXPECT_EQ(code_of(signup(project, "a@b.org", "short")), "weak_password");
  EXPECT_EQ(code_of(signup(project, "a@b.org", std::string(201, 'x'))), "weak_password");
  EXPECT_EQ(code_of(signup(project, "a@b.org", "correct horse", "", "a\nb")), "invalid_request");
  EXPECT_EQ(code_of(signup("", "a@b.org", "correct horse")), "invalid_request");
  // The service's own tables keep projects apart.
  EXPECT_EQ(code_of(signup("no-such-project", "a@b.org", "correct horse")), "not_found");
}

TEST_F(SignupTest, RolesComeFromTheProjectsList) {
  const auto project = new_project({"editor", "null"});
  EXPECT_EQ(code_of(signup(project, "a@b.org", "correct horse", "admin")), "role_not_allowed");
  EXPECT_EQ(code_of(signup(project, "a@b.org", "correct horse", "user")), "role_not_allowed");
  EXPECT_EQ(code_of(signup(project, "a@b.org", "correct horse", "editor' OR '1'='1")),
            "role_not_allowed");
  EXPECT_EQ(code_of(signup(project, "a@b.org", "correct horse", "editor")), "ok");
  EXPECT_EQ(code_of(signup(project, "c@b.org", "correct horse", "null")), "ok");
  auto token = login(project, "a@b.org", "correct horse").value().access_token();
  EXPECT_EQ(verify(project, token).value().role(), "editor");
}

TEST_F(SignupTest, ByDefaultTheRoleUserMayBeChosen) {
  const auto project = new_project();
  EXPECT_EQ(code_of(signup(project, "a@b.org", "correct horse", "user")), "ok");
  EXPECT_EQ(code_of(signup(project, "c@b.org", "correct horse", "admin")), "role_not_allowed");
}

TEST_F(SignupTest, AskingWhoHasAnAccountIsThrottledPerClient) {
  config_.login_address_burst = 2;
  config_.login_address_refill = std::chrono::hours(1);
  const auto project = new_project();
  client_address_ = "192.0.2.7";
  for (const char* email : {"a@b.org", "b@b.org", "c@b.org"})
    EXPECT_EQ(code_of(signup(project, email, "correct horse")), "ok");
  for (const char* email : {"a@b.org", "b@b.org"})
    EXPECT_EQ(code_of(signup(project, email, "correct horse")), "EmailExists");
  EXPECT_EQ(code_of(signup(project, "c@b.org", "correct horse")), "rate_limited");
  EXPECT_EQ(code_of(login(project, "c@b.org", "correct horse")), "rate_limited");
  client_address_ = "192.0.2.8";
  EXPECT_EQ(code_of(login(project, "c@b.org", "correct horse")), "ok");
}

}  // namespace
}  // namespace raymesh::auth
