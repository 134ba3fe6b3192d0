#include "libs/crypto/secret.hpp"

#include <gtest/gtest.h>

namespace raymesh::crypto {
namespace {

TEST(SecretTest, WipeOverwritesTheWholeCapacity) {
  std::string text = "a secret that is long enough to live on the heap, not inside the string";
  const char* memory = text.data();
  const size_t capacity = text.capacity();
  wipe(text);
  EXPECT_TRUE(text.empty());
  ASSERT_EQ(text.data(), memory);
  EXPECT_EQ(std::string_view(memory, capacity), std::string(capacity, '\0'));
}

TEST(SecretTest, MovingLeavesNothingBehind) {
  Secret first("short");
  Secret second = std::move(first);
  EXPECT_EQ(second.view(), "short");
  EXPECT_TRUE(first.empty());  // NOLINT: the moved-from state is what is tested
  Secret third("other");
  third = std::move(second);
  EXPECT_EQ(third.view(), "short");
}

TEST(SecretTest, WipeOnExitEmptiesTheString) {
  std::string password = "correct horse";
  { WipeOnExit wiped(password); }
  EXPECT_TRUE(password.empty());
}

}  // namespace
}  // namespace raymesh::crypto
