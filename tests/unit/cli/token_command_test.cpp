#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include "libs/crypto/jwt.hpp"
#include "libs/rpc/service_token.hpp"
#include "tests/unit/cli/run_cli.hpp"

namespace raymesh::cli {
namespace {

const std::string kKey = "k1:0123456789abcdef0123456789abcdef";

rpc::ServiceToken verify(const std::string& token) {
  auto ring = crypto::KeyRing::parse(std::vector<std::string>{kKey}).value();
  return rpc::verify_service_token(ring, token, crypto::jwt::unix_now()).value();
}

TEST(TokenCommandTest, MakesATokenThatTheServicesAccept) {
  auto result = run_cli({"token", "create", "--project", "shop", "--service-token-keys", kKey});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  ASSERT_EQ(result.out.back(), '\n');
  result.out.pop_back();
  EXPECT_EQ(verify(result.out).project, "shop");
}

TEST(TokenCommandTest, JsonHasTokenProjectAndLife) {
  auto result = run_cli({"token", "create", "--project", "shop", "--ttl", "90s", "--json"},
                        {{"RAYMESH_SERVICE_TOKEN_KEYS", kKey}});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  simdjson::dom::parser parser;
  simdjson::dom::element json;
  ASSERT_EQ(parser.parse(result.out).get(json), simdjson::SUCCESS);
  EXPECT_EQ(json["expiresIn"].get_int64().value(), 90);
  EXPECT_EQ(verify(std::string(json["token"].get_string().value())).project, "shop");
}

TEST(TokenCommandTest, NamesWhatIsWrongAndNeverASecret) {
  for (const auto& [arguments, expected] :
       std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--service-token-keys", kKey}, "--project is missing"},
           {{"--project", "shop"}, "--service-token-keys or"},
           {{"--project", "No Id", "--service-token-keys", kKey}, "bad project id: No Id"},
           {{"--project", "shop", "--service-token-keys", kKey, "--ttl", "5"}, "ttl"},
           {{"--project", "shop", "--service-token-keys", "k1:tooshort"}, "at least 32"}}) {
    std::vector<std::string> all = {"token", "create"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    auto result = run_cli(all);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, testing::HasSubstr(expected));
    EXPECT_THAT(result.err, testing::Not(testing::HasSubstr("tooshort")));
    EXPECT_THAT(result.err, testing::Not(testing::HasSubstr("0123456789abcdef")));
  }
}

}  // namespace
}  // namespace raymesh::cli
