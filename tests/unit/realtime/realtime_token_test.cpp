#include "services/realtime/realtime_token.hpp"

#include <gtest/gtest.h>

#include "libs/base/json_writer.hpp"
#include "libs/crypto/jwt.hpp"

namespace raymesh::realtime {
namespace {

constexpr int64_t kNow = 1'800'000'000;

class RealtimeTokenTest : public ::testing::Test {
 protected:
  RealtimeTokenTest()
      : pairs_{crypto::KeyRing::generate("k1")},
        tokens_(crypto::KeyRing::parse(pairs_).value(), TokenLimits{}) {}

  static Grant grant(std::vector<std::string> channels) {
    Grant g;
    g.project = "p1";
    g.channels = std::move(channels);
    return g;
  }
  std::string mint_error(Grant g, uint32_t ttl = 60) {
    auto r = tokens_.mint(std::move(g), ttl, kNow);
    return r.ok() ? "" : std::string(r.error().code());
  }
  std::string verify_error(const std::string& token, int64_t now = kNow) {
    auto r = tokens_.verify(token, now);
    return r.ok() ? "" : std::string(r.error().code());
  }

  std::vector<std::string> pairs_;
  RealtimeTokens tokens_;
};

TEST_F(RealtimeTokenTest, CarriesTheWholeGrant) {
  Grant g = grant({"b", "a", "b"});
  g.identity = "ann \"x\"";
  g.user = "u1";
  g.session = "s1";
  const auto token = tokens_.mint(g, 60, kNow);
  ASSERT_TRUE(token.ok());
  const auto seen = tokens_.verify(*token, kNow + 59);
  ASSERT_TRUE(seen.ok());
  EXPECT_EQ(seen->project, "p1");
  EXPECT_EQ(seen->channels, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(seen->identity, g.identity);
  EXPECT_EQ(seen->user, "u1");
  EXPECT_EQ(seen->session, "s1");
  EXPECT_EQ(seen->key_id, "k1");
  EXPECT_EQ(seen->expires_at, kNow + 60);
  EXPECT_FALSE(seen->id.empty());
  const auto other = tokens_.verify(tokens_.mint(g, 60, kNow).value(), kNow);
  EXPECT_NE(other->id, seen->id);
}

TEST_F(RealtimeTokenTest, TheDefaultIsOneHour) {
  const auto token = tokens_.mint(grant({"a"}), 0, kNow);
  EXPECT_EQ(tokens_.verify(*token, kNow)->expires_at, kNow + 3'600);
}

TEST_F(RealtimeTokenTest, ExpiresOnItsSecondWithALittleLeeway) {
  const auto token = tokens_.mint(grant({"a"}), 60, kNow);
  EXPECT_EQ(verify_error(*token, kNow + 61), "");
  EXPECT_EQ(verify_error(*token, kNow + 62), "token_expired");
}

TEST_F(RealtimeTokenTest, RefusesWhatCannotBeGranted) {
  EXPECT_EQ(mint_error(grant({})), "invalid_request");
  EXPECT_EQ(mint_error(grant({""})), "invalid_channel");
  EXPECT_EQ(mint_error(grant({std::string("a\0b", 3)})), "invalid_channel");
  EXPECT_EQ(mint_error(grant({"a\nb"})), "invalid_channel");
  EXPECT_EQ(mint_error(grant({"\xff"})), "invalid_channel");
  EXPECT_EQ(mint_error(grant({std::string(201, 'x')})), "invalid_channel");
  EXPECT_EQ(mint_error(grant({std::string(200, 'x')})), "");
  EXPECT_EQ(mint_error(grant({"a"}), 86'401), "invalid_request");
  EXPECT_EQ(mint_error(grant({"a"}), 86'400), "");
  Grant long_identity = grant({"a"});
  long_identity.identity = std::string(257, 'x');
  EXPECT_EQ(mint_error(long_identity), "invalid_request");
  std::vector<std::string> many;
  for (int i = 0; i < 101; ++i) many.push_back("c" + std::to_string(i));
  EXPECT_EQ(mint_error(grant(many)), "too_many_channels");
  many.pop_back();
  EXPECT_EQ(mint_error(grant(many)), "");
  for (auto& name : many) name += std::string(190, 'x');
  EXPECT_EQ(mint_error(grant(many)), "too_many_channels");
}

TEST_F(RealtimeTokenTest, RefusesForeignAndChangedTokens) {
  const std::string token = tokens_.mint(grant({"a"}), 60, kNow).value();
  EXPECT_EQ(verify_error(""), "invalid_token");
  EXPECT_EQ(verify_error("x.y.z"), "invalid_token");
  EXPECT_EQ(verify_error(token + "A"), "invalid_token");
  std::string changed = token;
  changed[token.size() / 2] = changed[token.size() / 2] == 'A' ? 'B' : 'A';
  EXPECT_EQ(verify_error(changed), "invalid_token");
  EXPECT_EQ(verify_error(std::string(10'000, 'a')), "invalid_token");

  const RealtimeTokens others(
      crypto::KeyRing::parse(std::vector<std::string>{crypto::KeyRing::generate("k1")}).value(),
      TokenLimits{});
  EXPECT_EQ(verify_error(others.mint(grant({"a"}), 60, kNow).value()), "invalid_token");
}

TEST_F(RealtimeTokenTest, RefusesOurOwnTokensOfAnotherKind) {
  const auto ring = crypto::KeyRing::parse(pairs_).value();
  const auto sign = [&](const std::string& claims) { return crypto::jwt::sign(ring, claims); };
  const std::string exp = R"("exp":)" + std::to_string(kNow + 60);
  EXPECT_EQ(
      verify_error(sign(R"({"aud":"raymesh.access","jti":"1","prj":"p","chn":["a"],)" + exp + "}")),
      "invalid_token");
  const std::string ours = R"({"aud":"raymesh.realtime",)" + exp;
  EXPECT_EQ(verify_error(sign(ours + R"(,"jti":"1","prj":"p","chn":["a"]})")), "");
  EXPECT_EQ(verify_error(sign(ours + R"(,"jti":"1","prj":"p","chn":[]})")), "invalid_token");
  EXPECT_EQ(verify_error(sign(ours + R"(,"jti":"1","prj":"p"})")), "invalid_token");
  EXPECT_EQ(verify_error(sign(ours + R"(,"jti":"1","prj":"p","chn":["a",1]})")), "invalid_token");
  EXPECT_EQ(verify_error(sign(ours + R"(,"jti":"1","chn":["a"]})")), "invalid_token");
  EXPECT_EQ(verify_error(sign(ours + R"(,"prj":"p","chn":["a"]})")), "invalid_token");
}

}  // namespace
}  // namespace raymesh::realtime
