#include "libs/raystream/server_keys.hpp"

#include <gtest/gtest.h>

#include "libs/base/encoding.hpp"

namespace raymesh::raystream {
namespace {

std::string error_of(const std::vector<std::string>& pairs) {
  const auto keys = ServerKeys::parse(pairs);
  return keys.ok() ? "" : keys.error().message;
}

TEST(ServerKeysTest, SignsWithTheWantedKeyOrTheFirst) {
  const auto keys = ServerKeys::parse(
      std::vector<std::string>{ServerKeys::generate("b"), ServerKeys::generate("a")});
  ASSERT_TRUE(keys.ok());
  EXPECT_EQ(keys->signing("a").id, "a");
  EXPECT_EQ(keys->signing("b").id, "b");
  EXPECT_EQ(keys->signing("").id, "b");
  EXPECT_EQ(keys->signing("c").id, "b");
  EXPECT_EQ(keys->keys().size(), 2u);
}

TEST(ServerKeysTest, RefusesWhatIsNoKeyAndNeverPrintsASeed) {
  const std::string seed = ServerKeys::generate("k").substr(2);
  EXPECT_EQ(error_of({}), "no raystream signing key is given");
  EXPECT_EQ(error_of({seed}), "raystream signing key 1 is not of the form id:seed");
  EXPECT_EQ(error_of({"k:" + seed, "k:" + seed}),
            "raystream signing key 2: the id k is used twice");
  EXPECT_EQ(error_of({seed + ":k"}),
            "raystream signing key 1: the id must be 1 to 32 characters of [A-Za-z0-9._-]");
  EXPECT_EQ(error_of({"k:short"}),
            "raystream signing key 1 (k): the seed must be 32 bytes as base64url");
  EXPECT_EQ(error_of({"k:" + seed + "AA"}),
            "raystream signing key 1 (k): the seed must be 32 bytes as base64url");
  EXPECT_EQ(error_of(std::vector<std::string>(17, "k:" + seed)),
            "more than 16 raystream signing keys are given");
}

}  // namespace
}  // namespace raymesh::raystream
