#include "libs/crypto/jwt.hpp"

#include <gtest/gtest.h>

#include "libs/base/encoding.hpp"

namespace raymesh::crypto::jwt {
namespace {

constexpr int64_t kNow = 1'800'000'000;
const std::string kSecret1(32, '1');
const std::string kSecret2(40, '2');

KeyRing ring(std::vector<std::string> pairs = {"k1:" + kSecret1}) {
  return KeyRing::parse(pairs).value();
}

const std::string kClaims =
    R"({"sub":"u1","jti":"j1","aud":"p1","iat":1799999990,"exp":1800000010})";

Checks checks() {
  Checks c;
  c.now = kNow;
  c.audience = "p1";
  return c;
}

std::string encode(std::string_view text) {
  return base64url_encode(text);
}

/// A token with any header and payload and the right signature for them.
std::string forge(std::string_view header, std::string_view payload,
                  std::string_view secret = kSecret1) {
  std::string input = encode(header) + '.' + encode(payload);
  return input + '.' + encode(hmac_sha256(secret, input));
}

Result<Token> verify_claims(std::string_view claims, const Checks& c = checks()) {
  auto keys = ring();
  return verify(keys, sign(keys, claims), c);
}

TEST(JwtTest, RoundTrip) {
  auto keys = ring();
  auto token = verify(keys, sign(keys, kClaims), checks()).value();
  EXPECT_EQ(token.key_id, "k1");
  EXPECT_EQ(token.payload, kClaims);
  EXPECT_EQ(token.subject, "u1");
  EXPECT_EQ(token.id, "j1");
  EXPECT_EQ(token.issued_at, 1'799'999'990);
  EXPECT_EQ(token.expires_at, 1'800'000'010);
}

TEST(JwtTest, HasTheStandardForm) {
  EXPECT_EQ(sign(ring(), kClaims), forge(R"({"alg":"HS256","typ":"JWT","kid":"k1"})", kClaims));
}

// RFC 7515 appendix A.1: the signature of the example, by our pieces. The token itself has another
// header than ours and is refused like every foreign one.
TEST(JwtTest, MatchesRfc7515ExampleA1) {
  const std::string key =
      base64url_decode(
          "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAz"
          "Zr1Z9CAow")
          .value();
  const std::string input =
      "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
      "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
      "fQ";
  EXPECT_EQ(encode(hmac_sha256(key, input)), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
  Checks c;
  c.now = 1'300'819'379;
  EXPECT_FALSE(
      verify(ring({"k1:" + key}), input + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", c).ok());
}

TEST(JwtTest, OldKeysVerifyAndTheNewOneSigns) {
  auto before = ring({"k1:" + kSecret1});
  auto after = ring({"k2:" + kSecret2, "k1:" + kSecret1});
  auto dropped = ring({"k2:" + kSecret2});
  const std::string old_token = sign(before, kClaims);
  EXPECT_EQ(verify(after, old_token, checks()).value().key_id, "k1");
  EXPECT_EQ(verify(after, sign(after, kClaims), checks()).value().key_id, "k2");
  EXPECT_FALSE(verify(dropped, old_token, checks()).ok());
  EXPECT_FALSE(verify(before, sign(after, kClaims), checks()).ok());
}

TEST(JwtTest, AKidNamesItsOwnSecretOnly) {
  auto keys = ring({"k1:" + kSecret1, "k2:" + kSecret2});
  EXPECT_FALSE(
      verify(keys, forge(R"({"alg":"HS256","typ":"JWT","kid":"k1"})", kClaims, kSecret2), checks())
          .ok());
}

TEST(JwtTest, RefusesEveryOtherHeader) {
  for (const char* header :
       {R"({"alg":"none","typ":"JWT","kid":"k1"})", R"({"alg":"none"})", "{}", "",
        R"({"alg":"hs256","typ":"JWT","kid":"k1"})", R"({"alg":"HS512","typ":"JWT","kid":"k1"})",
        R"({"alg":"RS256","typ":"JWT","kid":"k1"})", R"({"alg":"HS256","typ":"JWT","kid":"k9"})",
        R"({"alg":"HS256","typ":"JWT"})", R"({"alg":"HS256","typ":"JWT","kid":"k1","crit":["x"]})",
        R"({"alg":"HS256","typ":"JWT","kid":"k1","jwk":{"kty":"oct","k":"AA"}})",
        R"({"alg":"none","alg":"HS256","typ":"JWT","kid":"k1"})",
        R"({"alg":"HS256","typ":"JWT","kid":"../../k1"})",
        R"({ "alg":"HS256","typ":"JWT","kid":"k1"})", "null", "[]"}) {
    auto result = verify(ring(), forge(header, kClaims), checks());
    ASSERT_FALSE(result.ok()) << header;
    EXPECT_TRUE(result.error().is(errors::kInvalidToken));
  }
}

TEST(JwtTest, RefusesMalformedTokens) {
  auto keys = ring();
  const std::string good = sign(keys, kClaims);
  const size_t first = good.find('.');
  const size_t last = good.rfind('.');
  const std::string header = good.substr(0, first);
  const std::string payload = good.substr(first + 1, last - first - 1);
  const std::string signature = good.substr(last + 1);
  for (const std::string& token :
       std::vector<std::string>{"",
                                ".",
                                "..",
                                "...",
                                header,
                                header + ".",
                                header + "..",
                                header + "." + payload,
                                header + "." + payload + ".",
                                header + ".." + signature,
                                header + "." + signature,
                                "." + payload + "." + signature,
                                good + ".",
                                good + "=",
                                good + " ",
                                " " + good,
                                good + "\n",
                                good + "A",
                                good.substr(0, good.size() - 1),
                                "." + good,
                                header + "." + payload + "=." + signature,
                                header + "." + payload + "\n." + signature,
                                header + "." + payload + "." + payload + "." + signature,
                                header + "." + payload + "." + encode(std::string(32, '\0')),
                                header + "." + payload + "." + encode(std::string(31, 'x')),
                                header + "." + encode("{}") + "." + signature,
                                std::string(8'193, 'a'),
                                std::string("\0", 1) + good,
                                good + std::string("\0", 1)}) {
    EXPECT_FALSE(verify(keys, token, checks()).ok()) << token;
  }
  EXPECT_TRUE(verify(keys, good, checks()).ok());
}

TEST(JwtTest, EveryFlippedBitIsNoticed) {
  auto keys = ring();
  const std::string good = sign(keys, kClaims);
  for (size_t i = 0; i < good.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      EXPECT_FALSE(verify(keys, bad, checks()).ok()) << i << '/' << bit;
    }
}

// 43 base64url characters hold 258 bits: the two last ones must be zero, or a token would have
// four spellings.
TEST(JwtTest, TheSignatureHasOneSpellingOnly) {
  auto keys = ring();
  const std::string good = sign(keys, kClaims);
  int accepted = 0;
  for (char c :
       std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/"))
    accepted += verify(keys, good.substr(0, good.size() - 1) + c, checks()).ok();
  EXPECT_EQ(accepted, 1);
}

TEST(JwtTest, ExpiryIsExclusiveAndLeewayWidensIt) {
  const std::string claims = R"({"exp":1800000000})";
  Checks c;
  c.now = kNow - 1;
  EXPECT_TRUE(verify_claims(claims, c).ok());
  c.now = kNow;
  EXPECT_TRUE(verify_claims(claims, c).error().is(errors::kTokenExpired));
  c.leeway = 5;
  EXPECT_TRUE(verify_claims(claims, c).ok());
  c.now = kNow + 5;
  EXPECT_FALSE(verify_claims(claims, c).ok());
}

TEST(JwtTest, RefusesTokensFromTheFuture) {
  Checks c;
  c.now = kNow;
  EXPECT_TRUE(verify_claims(R"({"nbf":1800000000,"iat":1800000000,"exp":1800000100})", c).ok());
  EXPECT_FALSE(verify_claims(R"({"nbf":1800000001,"exp":1800000100})", c).ok());
  EXPECT_FALSE(verify_claims(R"({"iat":1800000001,"exp":1800000100})", c).ok());
  c.leeway = 1;
  EXPECT_TRUE(verify_claims(R"({"nbf":1800000001,"iat":1800000001,"exp":1800000100})", c).ok());
}

TEST(JwtTest, TheAudienceMustMatchExactly) {
  EXPECT_TRUE(verify_claims(R"({"aud":"p1","exp":1800000010})").ok());
  for (const char* claims :
       {R"({"exp":1800000010})", R"({"aud":"p2","exp":1800000010})",
        R"({"aud":"","exp":1800000010})", R"({"aud":["p1"],"exp":1800000010})",
        R"({"aud":null,"exp":1800000010})", R"({"aud":"p1 ","exp":1800000010})"})
    EXPECT_FALSE(verify_claims(claims).ok()) << claims;
}

TEST(JwtTest, RefusesClaimsOfTheWrongType) {
  Checks c;
  c.now = kNow;
  for (const char* claims : {"{}",
                             "[]",
                             "null",
                             "",
                             "x",
                             R"({"exp":null})",
                             R"({"exp":"1800000010"})",
                             R"({"exp":1800000010.5})",
                             R"({"exp":-1})",
                             R"({"exp":1e12})",
                             R"({"exp":253402300800})",
                             R"({"exp":9223372036854775807})",
                             R"({"exp":18446744073709551615})",
                             R"({"exp":true})",
                             R"({"exp":1800000010,"nbf":"x"})",
                             R"({"exp":1800000010,"iat":[]})",
                             R"({"exp":1800000010,"sub":5})",
                             R"({"exp":1800000010,"jti":{}})",
                             R"({"exp":1800000010}{)",
                             "{\"exp\":1800000010,\"sub\":\"\xff\"}"})
    EXPECT_FALSE(verify_claims(claims, c).ok()) << claims;
}

TEST(JwtTest, ClaimsOfAnyNameAreKept) {
  Checks c;
  c.now = kNow;
  const std::string claims = R"({"exp":1800000010,"claims":{"team":"blue","n":[1,2]},"ü":"ö"})";
  EXPECT_EQ(verify_claims(claims, c).value().payload, claims);
}

TEST(JwtTest, TheSizeBoundIsTheCallers) {
  auto keys = ring();
  const std::string token = sign(keys, kClaims);
  Checks c = checks();
  c.max_bytes = token.size();
  EXPECT_TRUE(verify(keys, token, c).ok());
  c.max_bytes = token.size() - 1;
  EXPECT_FALSE(verify(keys, token, c).ok());
}

}  // namespace
}  // namespace raymesh::crypto::jwt
