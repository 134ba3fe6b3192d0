#include "libs/base/free_string.hpp"

#include <gtest/gtest.h>

namespace raymesh {
namespace {

TEST(FreeStringTest, GivesTheMemoryBack) {
  std::string text(100'000, 'x');
  free_string(text);
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(text.capacity(), std::string().capacity());
}

}  // namespace
}  // namespace raymesh
