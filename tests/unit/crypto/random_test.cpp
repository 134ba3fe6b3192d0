#include "libs/crypto/random.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "libs/base/encoding.hpp"

namespace raymesh::crypto {
namespace {

TEST(RandomTest, GivesTheLengthThatWasAskedFor) {
  EXPECT_EQ(random_bytes(0), "");
  EXPECT_EQ(random_bytes(7).size(), 7u);
  EXPECT_EQ(random_token().size(), 43u);
  EXPECT_EQ(base64url_decode(random_token(24)).value().size(), 24u);
}

TEST(RandomTest, NeverRepeats) {
  std::set<std::string> seen;
  for (int i = 0; i < 1'000; ++i) seen.insert(random_token(16));
  EXPECT_EQ(seen.size(), 1'000u);
}

TEST(RandomTest, UuidsAreVersion4) {
  const auto is_version4 =
      testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
  for (int i = 0; i < 100; ++i) EXPECT_THAT(random_uuid(), is_version4);
  EXPECT_NE(random_uuid(), random_uuid());
}

}  // namespace
}  // namespace raymesh::crypto
