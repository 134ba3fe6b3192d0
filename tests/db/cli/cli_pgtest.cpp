// The operator's commands, as the real program against a real PostgreSQL, in the order in which an
// operator uses them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "libs/crypto/hash.hpp"
#include "libs/pg/project_identity.hpp"
#include "libs/pg/session.hpp"
#include "services/auth/user_store.hpp"
#include "tests/db/cli/program.hpp"
#include "tests/support/postgres_fixture.hpp"

namespace raymesh::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kSecret = "project-secret-of-the-test-0123456789";

class CliTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = &PostgresServer::shared(); }

  ProgramResult run(std::vector<std::string> arguments) {
    return run_raymesh(arguments, {{"RAYMESH_POSTGRES_URL", server_->admin_url()}});
  }
  ProgramResult migrate(const std::string& auth_password = "auth-password") {
    return run(
        {"migrate", "--auth-password", auth_password, "--storage-password", "storage-password"});
  }
  ProgramResult create(const std::string& project, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"project", "create", project, "--project-role-secret",
                                          kSecret};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  simdjson::dom::element json(const std::string& text) { return parser_.parse(text); }
  std::string field(const simdjson::dom::element& object, const char* name) {
    return std::string(object[name].get_string().value());
  }

  static PostgresServer* server_;
  simdjson::dom::parser parser_;
};
PostgresServer* CliTest::server_ = nullptr;

class MigrateTest : public CliTest {};

TEST_F(MigrateTest, MakesSchemasAndRolesOnceAndIsSafeToRepeat) {
  PostgresServer fresh;
  const std::map<std::string, std::string> environment = {
      {"RAYMESH_POSTGRES_URL", fresh.admin_url()},
      {"RAYMESH_AUTH_PASSWORD", "first"},
      {"RAYMESH_STORAGE_PASSWORD", "second"}};
  auto first = run_raymesh({"migrate", "--json"}, environment);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  size_t applied = 0;
  for (auto migration : json(first.out)["applied"].get_array()) {
    EXPECT_THAT(field(migration, "schema"), ::testing::StartsWith("raymesh_"));
    EXPECT_GT(migration["version"].get_int64().value(), 0);
    ++applied;
  }
  EXPECT_GE(applied, 2u);
  for (const auto& [role, password] :
       {std::pair{"raymesh_auth", "first"}, {"raymesh_storage", "second"}})
    EXPECT_TRUE(pg::Session::connect(fresh.url(role, password)).ok()) << role;
  EXPECT_FALSE(pg::Session::connect(fresh.url("raymesh_auth", "second")).ok());

  EXPECT_EQ(run_raymesh({"migrate", "--json"}, environment).out, "{\"applied\":[]}\n");
  EXPECT_THAT(run_raymesh({"migrate"}, environment).out, HasSubstr("up to date"));
}

TEST_F(MigrateTest, ManyAtOnceDoItOnce) {
  PostgresServer fresh;
  std::vector<ProgramResult> results(4);
  std::vector<std::thread> threads;
  for (auto& result : results)
    threads.emplace_back([&] {
      result = run_raymesh({"migrate", "--auth-password", "a", "--storage-password", "b", "--json"},
                           {{"RAYMESH_POSTGRES_URL", fresh.admin_url()}});
    });
  for (auto& thread : threads) thread.join();
  size_t with_auth = 0;
  for (const auto& result : results) {
    EXPECT_EQ(result.exit_code, 0) << result.err;
    with_auth += result.out.find("raymesh_auth") != std::string::npos;
  }
  EXPECT_EQ(with_auth, 1u);
}

TEST_F(MigrateTest, ReadsPasswordsFromFilesAndChangesThem) {
  PostgresServer fresh;
  std::string name = "/tmp/raymesh-secret-XXXXXX";
  close(mkstemp(name.data()));
  std::ofstream(name) << "from-a-file\n";
  auto result = run_raymesh({"migrate", "--postgres-url", fresh.admin_url(), "--auth-password-file",
                             name, "--storage-password", "b"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(pg::Session::connect(fresh.url("raymesh_auth", "from-a-file")).ok());
  chmod(name.c_str(), 0644);
  result = run_raymesh({"migrate", "--postgres-url", fresh.admin_url(), "--auth-password-file",
                        name, "--storage-password", "b"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr(name));
  std::filesystem::remove(name);

  result = run_raymesh({"migrate", "--auth-password", "changed", "--storage-password", "b"},
                       {{"RAYMESH_POSTGRES_URL", fresh.admin_url()}});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_FALSE(pg::Session::connect(fresh.url("raymesh_auth", "from-a-file")).ok());
  EXPECT_TRUE(pg::Session::connect(fresh.url("raymesh_auth", "changed")).ok());
}

TEST_F(MigrateTest, CommandsBeforeItSayWhatToDo) {
  PostgresServer fresh;
  auto result = run_raymesh({"project", "list"}, {{"RAYMESH_POSTGRES_URL", fresh.admin_url()}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("raymesh migrate"));
}

class ProjectTest : public CliTest {
 protected:
  void SetUp() override { ASSERT_EQ(migrate().exit_code, 0); }
};

TEST_F(ProjectTest, CreateMakesARoleThatOwnsASchema) {
  auto result = create("shop", {"--name", "The \"Shop\"", "--signup-roles", "user,editor"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "project shop created\n");
  auto identity = pg::project_identity("shop", kSecret).value();
  auto session = pg::Session::connect(server_->url(identity.role, identity.password)).value();
  EXPECT_TRUE(session.query("CREATE TABLE " + identity.schema + ".t (id int)").ok());

  auto again = create("shop", {"--json"});
  EXPECT_EQ(again.out, "{\"id\":\"shop\",\"created\":false}\n");

  auto list = run({"project", "list", "--json"});
  for (auto project : json(list.out).get_array()) {
    if (field(project, "id") != "shop") continue;
    EXPECT_EQ(field(project, "name"), "The \"Shop\"");
    EXPECT_EQ(project["signupRoles"].get_array().size(), 2u);
    EXPECT_THAT(field(project, "createdAt"), ::testing::EndsWith("Z"));
    return;
  }
  ADD_FAILURE() << list.out;
}

TEST_F(ProjectTest, BadIdsAreMistakesAndLeaveNothingBehind) {
  for (const char* id :
       {"Shop", "9lives", "a b", "x\"; DROP SCHEMA raymesh_auth CASCADE; --", ""}) {
    auto result = create(id);
    EXPECT_EQ(result.exit_code, 2) << id;
    EXPECT_THAT(result.err, HasSubstr(id));
  }
  EXPECT_EQ(server_->query("SELECT count(*) FROM raymesh_auth.projects WHERE id !~ '^[a-z]'"), "0");
}

TEST_F(ProjectTest, NeedsTheSecret) {
  auto result = run({"project", "create", "shop2"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("--project-role-secret"));
}

TEST_F(ProjectTest, ListIsATableForPeople) {
  ASSERT_EQ(create("listed", {"--name", "Listed"}).exit_code, 0);
  auto result = run({"project", "list"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, AllOf(::testing::StartsWith("ID"), HasSubstr("listed")));
}

class KeyTest : public ProjectTest {
 protected:
  void SetUp() override {
    ProjectTest::SetUp();
    ASSERT_EQ(create("keys").exit_code, 0);
  }
  /// As the auth service sees it.
  bool resolves(const std::string& key) {
    auto session = pg::Session::connect(server_->url("raymesh_auth", "auth-password")).value();
    return auth::find_key(session, crypto::sha256(key)).value().has_value();
  }
};

TEST_F(KeyTest, CreateShowsTheKeyOnceAndRevokeTakesEffect) {
  auto created =
      run({"key", "create", "--project", "keys", "--name", "ci", "--role", "admin", "--json"});
  ASSERT_EQ(created.exit_code, 0) << created.err;
  auto object = json(created.out);
  const std::string id = field(object, "id");
  const std::string key = field(object, "key");
  EXPECT_THAT(key, ::testing::StartsWith("dc_"));
  EXPECT_TRUE(resolves(key));

  auto list = run({"key", "list", "--project", "keys", "--json"});
  EXPECT_THAT(list.out, AllOf(HasSubstr(id), Not(HasSubstr(key))));
  bool found = false;
  for (auto listed : json(list.out).get_array()) {
    if (field(listed, "id") != id) continue;
    found = true;
    EXPECT_EQ(field(listed, "name"), "ci");
    EXPECT_EQ(field(listed, "role"), "admin");
    EXPECT_TRUE(listed["revokedAt"].is_null());
  }
  EXPECT_TRUE(found);

  auto revoked = run({"key", "revoke", id, "--json"});
  EXPECT_EQ(revoked.out, "{\"id\":\"" + id + "\",\"revoked\":true}\n");
  EXPECT_FALSE(resolves(key));
  auto again = run({"key", "revoke", id});
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_EQ(again.out, "key " + id + " was revoked already\n");
  for (auto listed : json(run({"key", "list", "--json"}).out).get_array()) {
    if (field(listed, "id") == id) {
      EXPECT_FALSE(listed["revokedAt"].is_null());
    }
  }
}

TEST_F(KeyTest, ForPeopleItSaysToKeepTheKey) {
  auto created = run({"key", "create", "--project", "keys"});
  EXPECT_EQ(created.exit_code, 0);
  EXPECT_THAT(created.out, AllOf(HasSubstr("key: dc_"), HasSubstr("cannot be shown again")));
}

TEST_F(KeyTest, UnknownProjectsAndKeysAreFailuresThatNameThem) {
  auto result = run({"key", "create", "--project", "nowhere"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "raymesh: there is no project nowhere\n");
  result = run({"key", "revoke", "key_nothing"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "raymesh: there is no key key_nothing\n");
  result = run({"key", "revoke", "key_nothing", "--json"});
  EXPECT_EQ(result.err, "{\"error\":\"there is no key key_nothing\",\"code\":\"not_found\"}\n");
  result = run({"key", "list", "--project", "nowhere", "--json"});
  EXPECT_EQ(result.out, "[]\n");
}

TEST_F(KeyTest, BadValuesAreMistakes) {
  for (const auto& more : std::vector<std::vector<std::string>>{
           {"--role", "not a role"}, {"--burst", "5"}, {"--requests-per-second", "-1"}}) {
    std::vector<std::string> arguments = {"key", "create", "--project", "keys"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    EXPECT_EQ(run(arguments).exit_code, 2) << more[0];
  }
}

TEST_F(KeyTest, NothingSecretIsPrintedWhenThingsFail) {
  auto result = run_raymesh(
      {"key", "list"}, {{"RAYMESH_POSTGRES_URL", server_->url("raymesh_auth", "wrong-password")}});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, Not(HasSubstr("wrong-password")));
}

}  // namespace
}  // namespace raymesh::testing
