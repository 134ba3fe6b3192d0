#include <algorithm>
#include <thread>

#include "libs/base/encoding.hpp"
#include "libs/crypto/password.hpp"
#include "tests/db/auth/auth_fixture.hpp"

namespace raymesh::auth {
namespace {

class LoginTest : public AuthFixture {};

TEST_F(LoginTest, GivesATokenOfASession) {
  const auto project = new_project();
  auto user = signup(project, "ada@example.org", "correct horse").value().user_id();
  auto reply = login(project, "ada@example.org", "correct horse").value();
  EXPECT_EQ(reply.user_id(), user);
  EXPECT_EQ(reply.expires_in(), 604'800u);
  auto verified = verify(project, reply.access_token()).value();
  EXPECT_TRUE(verified.valid());
  EXPECT_EQ(verified.user_id(), user);
  EXPECT_EQ(verified.email(), "ada@example.org");
  auto row = migrated_server().query(
      "SELECT extract(epoch FROM expires_at)::bigint || ' ' || user_id FROM raymesh_auth.sessions "
      "WHERE jti = '" +
      verified.session() + "'");
  EXPECT_EQ(row.value(), std::to_string(verified.expires_at()) + " " + user);
}

TEST_F(LoginTest, EveryLoginIsASessionOfItsOwn) {
  const auto project = new_project();
  (void)signup(project, "ada@example.org", "correct horse").value();
  auto one = login(project, "ada@example.org", "correct horse").value();
  auto two = login(project, "ada@example.org", "correct horse").value();
  EXPECT_NE(verify(project, one.access_token()).value().session(),
            verify(project, two.access_token()).value().session());
}

TEST_F(LoginTest, AnUnknownAddressAndAWrongPasswordAnswerTheSame) {
  const auto project = new_project();
  (void)signup(project, "ada@example.org", "correct horse").value();
  auto wrong = login(project, "ada@example.org", "wrong horse").error();
  for (const char* email : {"bob@example.org", "not an address", "\x01@b"}) {
    auto unknown = login(project, email, "wrong horse").error();
    EXPECT_EQ(unknown.code(), wrong.code());
    EXPECT_EQ(unknown.message, wrong.message);
    EXPECT_EQ(unknown.http_status(), wrong.http_status());
  }
  EXPECT_EQ(wrong.code(), "InvalidCredentials");
  EXPECT_EQ(wrong.http_status(), 401);
  EXPECT_EQ(wrong.message, "Invalid email or password");
}

TEST_F(LoginTest, AnUnknownAddressIsHashedToo) {
  const auto project = new_project();
  (void)login(project, "bob@example.org", "wrong horse");
  (void)login(project, "not an address", "wrong horse");
  EXPECT_NE(metrics_->render().find("raymesh_auth_hash_seconds_count 2"), std::string::npos);
}

TEST_F(LoginTest, SaysWhatIsMissing) {
  const auto project = new_project();
  EXPECT_EQ(login(project, "", "x").error().message, "Email and password are required");
  EXPECT_EQ(login(project, "a@b.org", "").error().message, "Email and password are required");
  EXPECT_EQ(code_of(login("", "a@b.org", "x")), "invalid_request");
}

TEST_F(LoginTest, AnAccountOfAnotherProjectIsUnknown) {
  const auto project = new_project();
  const auto other = new_project();
  (void)signup(project, "ada@example.org", "correct horse").value();
  EXPECT_EQ(code_of(login(other, "ada@example.org", "correct horse")), "InvalidCredentials");
}

TEST_F(LoginTest, InjectionIsJustAString) {
  const auto project = new_project();
  (void)signup(project, "ada@example.org", "correct horse").value();
  for (const char* email : {"'OR'1'='1'--@x", "ada@example.org'--", "$1@b", "\\x@b"})
    EXPECT_EQ(code_of(login(project, email, "' OR 1=1")), "InvalidCredentials") << email;
}

TEST_F(LoginTest, FailuresOfOneAccountAreThrottledAndTellNothing) {
  config_.login_burst = 3;
  config_.login_refill = std::chrono::hours(1);
  const auto project = new_project();
  (void)signup(project, "ada@example.org", "correct horse").value();
  for (const char* email : {"ada@example.org", "nobody@example.org"}) {
    for (int i = 0; i < 3; ++i)
      EXPECT_EQ(code_of(login(project, email, "wrong horse")), "InvalidCredentials");
    // Also with the right password, and in other spellings.
    auto refused = login(project, email, "correct horse");
    ASSERT_EQ(code_of(refused), "rate_limited");
    EXPECT_EQ(refused.error().http_status(), 429);
    EXPECT_GT(refused.error().retry_after, std::chrono::minutes(50));
  }
  EXPECT_EQ(code_of(login(project, " ADA@example.org", "correct horse")), "rate_limited");
}

TEST_F(LoginTest, SuccessForgivesEarlierMistakes) {
  config_.login_burst = 3;
  config_.login_refill = std::chrono::hours(1);
  const auto project = new_project();
  (void)signup(project, "ada@example.org", "correct horse").value();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 2; ++i)
      EXPECT_EQ(code_of(login(project, "ada@example.org", "wrong horse")), "InvalidCredentials");
    EXPECT_EQ(code_of(login(project, "ada@example.org", "correct horse")), "ok");
  }
}

TEST_F(LoginTest, AFullHashingQueueSays429) {
  config_.hash_threads = 1;
  config_.hash_queue = 1;
  config_.login_burst = 1'000;
  const auto project = new_project();
  start();
  std::vector<Result<v1::LoginReply>> results(24, Error());
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] { result = login(project, "ada@example.org", "wrong horse"); });
  for (auto& thread : threads) thread.join();
  size_t busy = 0;
  for (const auto& result : results) {
    ASSERT_FALSE(result.ok());
    if (!result.error().is(errors::kHashingBusy)) {
      EXPECT_EQ(code_of(result), "InvalidCredentials");
      continue;
    }
    ++busy;
    EXPECT_EQ(result.error().http_status(), 429);
    EXPECT_GT(result.error().retry_after.count(), 0);
  }
  EXPECT_GT(busy, 0u);
  EXPECT_LT(busy, results.size());
}

TEST_F(LoginTest, OldHashesAreReplaced) {
  const auto project = new_project();
  auto user = signup(project, "ada@example.org", "correct horse").value().user_id();
  auto hash_of = [&] {
    return migrated_server()
        .query("SELECT password_hash FROM raymesh_auth.users WHERE id = '" + user + "'")
        .value();
  };
  const std::string cheap =
      crypto::hash_password("correct horse", {.memory_kib = 64, .passes = 1}).value();
  migrated_server().execute("UPDATE raymesh_auth.users SET password_hash = '" + cheap +
                            "' WHERE id = '" + user + "'");
  EXPECT_EQ(code_of(login(project, "ada@example.org", "wrong horse")), "InvalidCredentials");
  EXPECT_EQ(hash_of(), cheap);
  EXPECT_EQ(code_of(login(project, "ada@example.org", "correct horse")), "ok");
  EXPECT_TRUE(hash_of().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
  EXPECT_EQ(code_of(login(project, "ada@example.org", "correct horse")), "ok");
}

TEST_F(LoginTest, RoleAndClaimsAreInTheToken) {
  const auto project = new_project();
  auto user = signup(project, "ada@example.org", "correct horse").value().user_id();
  migrated_server().execute(
      "UPDATE raymesh_auth.users SET role = 'editor', claims = '{\"team\": \"bl\\u00fce\"}' "
      "WHERE id = '" +
      user + "'");
  auto token = login(project, "ada@example.org", "correct horse").value().access_token();
  const size_t first = token.find('.');
  auto payload = base64url_decode(token.substr(first + 1, token.rfind('.') - first - 1)).value();
  EXPECT_NE(payload.find("\"role\":\"editor\""), std::string::npos) << payload;
  EXPECT_NE(payload.find("\"claims\":{\"team\": \"blüe\"}"), std::string::npos) << payload;
}

}  // namespace
}  // namespace raymesh::auth
