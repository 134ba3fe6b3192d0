#include "services/auth/key_store.hpp"
#include "tests/db/auth/auth_fixture.hpp"

namespace raymesh::auth {
namespace {

class KeysTest : public AuthFixture {
 protected:
  KeysTest() : project_(new_project()) {}
  CreatedKey create(NewKey key) {
    key.project_id = project_;
    auto session = admin_session();
    return KeyStore(session).create(key).value();
  }

  std::string project_;
};

TEST_F(KeysTest, ResolveToTheirProject) {
  auto key = create({.name = "server"});
  auto reply = resolve(key.key).value();
  EXPECT_EQ(reply.project_id(), project_);
  EXPECT_EQ(reply.project_name(), "Project " + project_);
  EXPECT_EQ(reply.key_id(), key.id);
  EXPECT_EQ(reply.role(), "");
  EXPECT_FALSE(reply.development());
  EXPECT_FALSE(reply.has_rate_limit());
  EXPECT_TRUE(reply.capabilities().at("database"));
  EXPECT_TRUE(reply.capabilities().at("migrate"));
  EXPECT_FALSE(reply.capabilities().at("storage"));
  EXPECT_EQ(reply.capabilities_size(), 8);
}

TEST_F(KeysTest, CarryRoleLimitsAndDevelopment) {
  auto key =
      create({.role = "viewer", .requests_per_second = 12.5, .burst = 50, .development = true});
  auto reply = resolve(key.key).value();
  EXPECT_EQ(reply.role(), "viewer");
  EXPECT_FALSE(reply.capabilities().at("migrate"));
  EXPECT_TRUE(reply.development());
  EXPECT_EQ(reply.rate_limit().per_second(), 12.5);
  EXPECT_EQ(reply.rate_limit().burst(), 50);
}

TEST_F(KeysTest, UnknownAndRevokedKeysAreTheSame) {
  auto key = create({});
  auto session = admin_session();
  EXPECT_TRUE(KeyStore(session).revoke(key.id).value());
  auto revoked = resolve(key.key);
  auto unknown = resolve("dc_nothing");
  ASSERT_EQ(code_of(revoked), "invalid_api_key");
  ASSERT_EQ(code_of(unknown), "invalid_api_key");
  EXPECT_EQ(revoked.error().message, unknown.error().message);
  EXPECT_EQ(revoked.error().http_status(), 401);
}

TEST_F(KeysTest, AHashOfAnotherLengthIsRefused) {
  v1::ResolveKeyRequest request;
  request.set_key_sha256("short");
  EXPECT_EQ(code_of(call<v1::ResolveKeyReply>("ResolveKey", "", request)), "invalid_request");
}

}  // namespace
}  // namespace raymesh::auth
