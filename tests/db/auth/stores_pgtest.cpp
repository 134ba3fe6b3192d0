#include "libs/base/encoding.hpp"
#include "libs/crypto/hash.hpp"
#include "libs/crypto/random.hpp"
#include "services/auth/key_store.hpp"
#include "services/auth/project_store.hpp"
#include "services/auth/user_store.hpp"
#include "tests/db/auth/auth_fixture.hpp"

namespace raymesh::auth {
namespace {

class StoresTest : public AuthFixture {
 protected:
  pg::Session session_ = admin_session();
  ProjectStore projects_{session_};
  KeyStore keys_{session_};
};

TEST_F(StoresTest, CreatingAProjectAgainLeavesItAsItIs) {
  const auto id = new_project({"editor"});
  EXPECT_FALSE(projects_.create(id, "Other name", {"user"}).value().is_new);
  const auto projects = projects_.list().value();
  for (const Project& project : projects)
    if (project.id == id) {
      EXPECT_EQ(project.name, "Project " + id);
      EXPECT_EQ(project.signup_roles, std::vector<std::string>{"editor"});
      return;
    }
  ADD_FAILURE() << "not listed: " << id;
}

TEST_F(StoresTest, BadProjectsAreNamed) {
  for (const char* id : {"", "Shop", "1shop", "sh op", "x';--"}) {
    auto result = projects_.create(id, "", {});
    ASSERT_EQ(code_of(result), "invalid_request") << id;
    EXPECT_NE(result.error().message.find(id), std::string::npos);
  }
  EXPECT_EQ(code_of(projects_.create("shop", "a\nb", {})), "invalid_request");
  EXPECT_EQ(code_of(projects_.create("shop", "", {"a,b"})), "invalid_request");
  EXPECT_FALSE(projects_.exists("shop").value());
}

TEST_F(StoresTest, OnlyTheHashOfAKeyIsStored) {
  const auto project = new_project();
  auto key = keys_.create({.project_id = project}).value();
  EXPECT_TRUE(is_api_key_text(key.key));
  EXPECT_EQ(key.key.size(), 46u);
  const auto row =
      migrated_server()
          .query("SELECT k::text FROM raymesh_auth.api_keys k WHERE id = '" + key.id + "'")
          .value();
  EXPECT_EQ(row.find(key.key.substr(9)), std::string::npos);
  EXPECT_NE(row.find(hex_encode(crypto::sha256(key.key))), std::string::npos);
}

TEST_F(StoresTest, EnsureIsIdempotentAndRevives) {
  const auto project = new_project();
  const std::string text = "dc_local_" + project;
  const NewKey key{.project_id = project, .name = "dev", .development = true};
  auto first = keys_.ensure(key, text).value();
  EXPECT_EQ(first.key, text);
  EXPECT_TRUE(keys_.revoke(first.id).value());
  auto second = keys_.ensure(key, text).value();
  EXPECT_EQ(second.id, first.id);
  auto listed = keys_.list(project).value();
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0].revoked_at, "");
  EXPECT_TRUE(listed[0].development);
  EXPECT_EQ(listed[0].prefix, "dc_local_");
}

TEST_F(StoresTest, AKeyBelongsToOneProject) {
  const std::string text = "dc_shared_" + new_project();
  auto mine = keys_.ensure({.project_id = new_project()}, text);
  EXPECT_EQ(code_of(mine), "ok");
  EXPECT_EQ(code_of(keys_.ensure({.project_id = new_project()}, text)), "unique_violation");
}

TEST_F(StoresTest, BadKeysAreRefused) {
  const auto project = new_project();
  EXPECT_EQ(code_of(keys_.create({.project_id = "nowhere"})), "not_found");
  EXPECT_EQ(code_of(keys_.create({.project_id = project, .role = "a b"})), "invalid_request");
  EXPECT_EQ(code_of(keys_.create({.project_id = project, .name = "a\nb"})), "invalid_request");
  EXPECT_EQ(code_of(keys_.create({.project_id = project, .burst = 5})), "invalid_request");
  EXPECT_EQ(code_of(keys_.create({.project_id = project, .requests_per_second = 0, .burst = 5})),
            "invalid_request");
  for (const char* text : {"", "dc_", "x", "dc_a b", "dct_x"})
    EXPECT_EQ(code_of(keys_.ensure({.project_id = project}, text)), "invalid_request") << text;
  EXPECT_TRUE(keys_.list(project).value().empty());
}

TEST_F(StoresTest, RevokingTwiceIsFineAndUnknownIdsAreNot) {
  auto key = keys_.create({.project_id = new_project()}).value();
  EXPECT_TRUE(keys_.revoke(key.id).value());
  EXPECT_FALSE(keys_.revoke(key.id).value());
  EXPECT_EQ(code_of(keys_.revoke("key_nothing")), "not_found");
}

TEST_F(StoresTest, AStatementThatIsRepeatedDoesNotHappenTwice) {
  auto service = pg::Session::connect(auth_url()).value();
  const auto project = new_project();
  const NewUser user{crypto::random_uuid(), project, "ada@example.org", "", "", "hash"};
  EXPECT_EQ(code_of(insert_user(service, user)), "ok");
  EXPECT_EQ(code_of(insert_user(service, user)), "ok");
  const NewSession row{crypto::random_uuid(), project, user.id, 4'000'000'000, ""};
  EXPECT_EQ(code_of(insert_session(service, row)), "ok");
  EXPECT_EQ(code_of(insert_session(service, row)), "ok");
  EXPECT_EQ(migrated_server().query("SELECT count(*) FROM raymesh_auth.sessions WHERE user_id = '" +
                                    user.id + "'"),
            "1");
}

TEST_F(StoresTest, AUserWhoWasDeletedMeanwhileGetsNoSession) {
  auto service = pg::Session::connect(auth_url()).value();
  EXPECT_EQ(code_of(insert_session(service, {crypto::random_uuid(), new_project(),
                                             crypto::random_uuid(), 4'000'000'000, ""})),
            "InvalidCredentials");
}

TEST_F(StoresTest, AServerThatMayOnlyBeReadIsUnavailable) {
  auto service = pg::Session::connect(auth_url()).value();
  ASSERT_TRUE(service.query("SET default_transaction_read_only = on").ok());
  EXPECT_EQ(code_of(insert_user(service,
                                {crypto::random_uuid(), new_project(), "a@b.org", "", "", "hash"})),
            "unavailable");
}

}  // namespace
}  // namespace raymesh::auth
