#include "services/auth/access_token.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include "libs/base/encoding.hpp"
#include "libs/crypto/jwt.hpp"

namespace raymesh::auth {
namespace {

constexpr int64_t kNow = 1'800'000'000;
const char* const kUser = "6f1c9c7e-6d2b-4c87-9a57-2f6a1f5f0a11";
const char* const kSession = "0b54d4cf-37b1-4a5f-8a30-9b3e7c6d2f10";

class AccessTokenTest : public testing::Test {
 protected:
  AccessToken token() {
    AccessToken t;
    t.project = "shop";
    t.user = kUser;
    t.session = kSession;
    t.email = "ada@example.org";
    t.issued_at = kNow;
    t.expires_at = kNow + 60;
    return t;
  }

  std::string payload_of(const std::string& text) {
    const size_t first = text.find('.');
    return base64url_decode(text.substr(first + 1, text.rfind('.') - first - 1)).value();
  }

  crypto::KeyRing keys_ =
      crypto::KeyRing::parse(std::vector<std::string>{"k1:" + std::string(32, 's')}).value();
};

TEST_F(AccessTokenTest, HasTheClaimsThatTheSdkReads) {
  AccessToken t = token();
  t.role = "editor";
  t.claims_json = R"({"team": "blue"})";
  simdjson::dom::parser parser;
  simdjson::dom::element json;
  ASSERT_EQ(parser.parse(payload_of(sign_access_token(keys_, t).value())).get(json),
            simdjson::SUCCESS);
  EXPECT_EQ(json["sub"].get_string().value(), kUser);
  EXPECT_EQ(json["email"].get_string().value(), "ada@example.org");
  EXPECT_EQ(json["role"].get_string().value(), "editor");
  EXPECT_EQ(json["claims"]["team"].get_string().value(), "blue");
  EXPECT_EQ(json["iat"].get_int64().value(), kNow);
  EXPECT_EQ(json["exp"].get_int64().value(), kNow + 60);
}

TEST_F(AccessTokenTest, LeavesOutWhatThereIsNot) {
  EXPECT_EQ(
      payload_of(sign_access_token(keys_, token()).value()),
      R"({"sub":"6f1c9c7e-6d2b-4c87-9a57-2f6a1f5f0a11","email":"ada@example.org",)"
      R"("aud":"raymesh-user:shop","jti":"0b54d4cf-37b1-4a5f-8a30-9b3e7c6d2f10","iat":1800000000,)"
      R"("exp":1800000060})");
}

TEST_F(AccessTokenTest, RoundTrip) {
  auto proven = verify_access_token(keys_, "shop", sign_access_token(keys_, token()).value(), kNow);
  EXPECT_EQ(proven.value().user, kUser);
  EXPECT_EQ(proven.value().session, kSession);
  EXPECT_EQ(proven.value().expires_at, kNow + 60);
}

TEST_F(AccessTokenTest, IsGoodForItsProjectOnly) {
  const std::string text = sign_access_token(keys_, token()).value();
  for (const char* project : {"", "shop2", "sho", "SHOP", "dev"})
    EXPECT_FALSE(verify_access_token(keys_, project, text, kNow).ok()) << project;
}

TEST_F(AccessTokenTest, ExpiresOnTheSecond) {
  const std::string text = sign_access_token(keys_, token()).value();
  EXPECT_TRUE(verify_access_token(keys_, "shop", text, kNow + 59).ok());
  EXPECT_TRUE(
      verify_access_token(keys_, "shop", text, kNow + 60).error().is(errors::kTokenExpired));
}

TEST_F(AccessTokenTest, ToleratesAnIssuerWhoseClockIsALittleAhead) {
  const std::string text = sign_access_token(keys_, token()).value();
  EXPECT_TRUE(verify_access_token(keys_, "shop", text, kNow - 5).ok());
  EXPECT_FALSE(verify_access_token(keys_, "shop", text, kNow - 6).ok());
}

TEST_F(AccessTokenTest, RefusesSignedTokensOfAnotherKind) {
  for (
      const char* claims :
      {R"({"aud":"raymesh-user:shop","exp":1800000060})",
       R"({"aud":"raymesh-user:shop","exp":1800000060,"sub":"x"})",
       R"({"aud":"raymesh-user:shop","exp":1800000060,"jti":"x"})",
       R"({"aud":"raymesh-user:shop","exp":1800000060,"sub":"not a uuid","jti":"not a uuid"})",
       R"({"aud":"raymesh-user:shop","sub":"6f1c9c7e-6d2b-4c87-9a57-2f6a1f5f0a11","jti":"0b54d4cf-37b1-4a5f-8a30-9b3e7c6d2f10"})"})
    EXPECT_FALSE(verify_access_token(keys_, "shop", crypto::jwt::sign(keys_, claims), kNow).ok())
        << claims;
}

TEST_F(AccessTokenTest, RefusesToBecomeTooLong) {
  AccessToken t = token();
  t.claims_json = "{\"a\":\"" + std::string(4'000, 'x') + "\"}";
  EXPECT_TRUE(sign_access_token(keys_, t).error().is(errors::kInternal));
}

}  // namespace
}  // namespace raymesh::auth
