#include "libs/pg/login.hpp"

#include <gtest/gtest.h>

namespace raymesh::pg {
namespace {

TEST(LoginTest, EscapesWhatLibpqWouldSplit) {
  Login login;
  login.schema = "p_a b\\c\"d";
  const std::string options = session_options(login);
  EXPECT_TRUE(options.starts_with("-c search_path=\"p_a\\ b\\\\c\"\"d\",pg_temp -c ")) << options;
  EXPECT_NE(options.find("-c default_transaction_isolation=read\\ committed"), std::string::npos);
}

TEST(LoginTest, ItsOwnKeywordsWinOverTheServersUrl) {
  Login login;
  login.server = "host=/x user=somebody options='-c x=y'";
  login.user = "me";
  const auto parameters = connect_parameters(login);
  EXPECT_EQ(parameters.front().first, "dbname");
  EXPECT_EQ(parameters[1].second, "me");
}

}  // namespace
}  // namespace raymesh::pg
