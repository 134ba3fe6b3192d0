#include <thread>

#include "libs/crypto/jwt.hpp"
#include "services/auth/access_token.hpp"
#include "tests/db/auth/auth_fixture.hpp"

namespace raymesh::auth {
namespace {

class TokensTest : public AuthFixture {
 protected:
  TokensTest() : project_(new_project()) {}

  std::string token_of(const std::string& email) {
    EXPECT_EQ(code_of(signup(project_, email, "correct horse")), "ok");
    return login(project_, email, "correct horse").value().access_token();
  }
  bool valid(const std::string& token) { return verify(project_, token).value().valid(); }

  std::string project_;
};

TEST_F(TokensTest, AreGoodForTheirProjectOnly) {
  const auto token = token_of("ada@example.org");
  EXPECT_TRUE(valid(token));
  auto elsewhere = verify(new_project(), token).value();
  EXPECT_FALSE(elsewhere.valid());
  EXPECT_EQ(elsewhere.user_id(), "");
  EXPECT_EQ(code_of(verify("", token)), "invalid_request");
}

TEST_F(TokensTest, ARevokedSessionIsOverAtOnce) {
  const auto one = token_of("ada@example.org");
  const auto two = login(project_, "ada@example.org", "correct horse").value().access_token();
  const auto session = verify(project_, one).value().session();
  migrated_server().execute("UPDATE raymesh_auth.sessions SET revoked_at = now() WHERE jti = '" +
                            session + "'");
  EXPECT_FALSE(valid(one));
  EXPECT_TRUE(valid(two));
}

TEST_F(TokensTest, ADeletedUserIsSignedOut) {
  const auto token = token_of("ada@example.org");
  migrated_server().execute("DELETE FROM raymesh_auth.users WHERE project_id = '" + project_ + "'");
  EXPECT_FALSE(valid(token));
}

TEST_F(TokensTest, TheUsersRoleAndClaimsAreThoseOfNow) {
  const auto token = token_of("ada@example.org");
  EXPECT_EQ(verify(project_, token).value().role(), "");
  EXPECT_EQ(verify(project_, token).value().claims_json(), "");
  migrated_server().execute(
      "UPDATE raymesh_auth.users SET role = 'editor', claims = '{\"a\": 1}' WHERE project_id = '" +
      project_ + "'");
  EXPECT_EQ(verify(project_, token).value().role(), "editor");
  EXPECT_EQ(verify(project_, token).value().claims_json(), "{\"a\": 1}");
}

TEST_F(TokensTest, GarbageIsNotValidAndNotAnError) {
  const auto token = token_of("ada@example.org");
  for (const std::string& bad :
       {std::string(), std::string("x"), std::string("a.b.c"),
        std::string("eyJhbGciOiJub25lIn0.e30."), token + "x", token.substr(1),
        std::string(100'000, 'a'), std::string("\0\0\0", 3)})
    EXPECT_FALSE(valid(bad));
}

TEST_F(TokensTest, ASignedTokenWithoutASessionRowIsNotValid) {
  auto keys = crypto::KeyRing::parse(config_.token_keys).value();
  AccessToken forged;
  forged.project = project_;
  forged.user = "6f1c9c7e-6d2b-4c87-9a57-2f6a1f5f0a11";
  forged.session = "0b54d4cf-37b1-4a5f-8a30-9b3e7c6d2f10";
  forged.issued_at = crypto::jwt::unix_now();
  forged.expires_at = forged.issued_at + 60;
  EXPECT_FALSE(valid(sign_access_token(keys, forged).value()));
}

TEST_F(TokensTest, ASessionIsItsUsersOnly) {
  const auto token = token_of("ada@example.org");
  auto ada = verify(project_, token).value();
  auto eve = signup(project_, "eve@example.org", "correct horse").value().user_id();
  auto keys = crypto::KeyRing::parse(config_.token_keys).value();
  AccessToken forged;
  forged.project = project_;
  forged.user = eve;
  forged.session = ada.session();
  forged.issued_at = crypto::jwt::unix_now();
  forged.expires_at = forged.issued_at + 60;
  EXPECT_FALSE(valid(sign_access_token(keys, forged).value()));
}

TEST_F(TokensTest, ExpireAtTheirTime) {
  config_.token_ttl = std::chrono::seconds(1);
  const auto token = token_of("ada@example.org");
  // Issued at this second at the latest, so at the next one it has expired.
  const auto expires = crypto::jwt::unix_now() + 1;
  while (crypto::jwt::unix_now() < expires)
    std::this_thread::sleep_until(std::chrono::system_clock::from_time_t(expires));
  EXPECT_FALSE(valid(token));
}

TEST_F(TokensTest, AreOverWhenTheirSessionsRowSaysSo) {
  const auto token = token_of("ada@example.org");
  EXPECT_TRUE(valid(token));
  migrated_server().execute(
      "UPDATE raymesh_auth.sessions SET expires_at = now() WHERE project_id = '" + project_ + "'");
  EXPECT_FALSE(valid(token));
}

TEST_F(TokensTest, KeysRotateWithoutLoggingOut) {
  const auto old_token = token_of("ada@example.org");
  const std::string old_key = config_.token_keys.front();
  const std::string new_key = "k2:fedcba9876543210fedcba9876543210";
  stop();
  config_.token_keys = {new_key, old_key};
  start();
  EXPECT_TRUE(valid(old_token));
  const auto new_token = login(project_, "ada@example.org", "correct horse").value().access_token();
  stop();
  config_.token_keys = {new_key};
  start();
  EXPECT_FALSE(valid(old_token));
  EXPECT_TRUE(valid(new_token));
}

}  // namespace
}  // namespace raymesh::auth
