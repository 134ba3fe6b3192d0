#include "libs/base/unique_function.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>

namespace raymesh {
namespace {

TEST(UniqueFunctionTest, OwnsWhatItCaptures) {
  auto owner = std::make_unique<int>(7);
  UniqueFunction<int(int)> f = [owner = std::move(owner)](int n) { return *owner + n; };
  EXPECT_TRUE(static_cast<bool>(f));
  EXPECT_EQ(f(1), 8);
  UniqueFunction<int(int)> g = std::move(f);
  EXPECT_EQ(g(2), 9);
}

TEST(UniqueFunctionTest, DestroysItsCaptureOnceWhetherSmallOrLarge) {
  auto count = std::make_shared<int>(0);
  {
    UniqueFunction<void()> small = [count] {};
    UniqueFunction<void()> large = [count, room = std::array<char, 200>{}] { (void)room; };
    EXPECT_EQ(count.use_count(), 3);
    UniqueFunction<void()> moved = std::move(large);
    moved();
    EXPECT_EQ(count.use_count(), 3);
    small.reset();
    EXPECT_EQ(count.use_count(), 2);
    moved = nullptr;
    EXPECT_EQ(count.use_count(), 1);
  }
  EXPECT_EQ(count.use_count(), 1);
}

TEST(UniqueFunctionTest, IsEmptyByDefaultAndAfterReset) {
  UniqueFunction<void()> f;
  EXPECT_FALSE(static_cast<bool>(f));
  f = [] {};
  EXPECT_TRUE(static_cast<bool>(f));
  f.reset();
  EXPECT_FALSE(static_cast<bool>(f));
}

TEST(UniqueFunctionTest, PassesMoveOnlyArguments) {
  UniqueFunction<int(std::unique_ptr<int>)> f = [](std::unique_ptr<int> p) { return *p; };
  EXPECT_EQ(f(std::make_unique<int>(3)), 3);
}

}  // namespace
}  // namespace raymesh
