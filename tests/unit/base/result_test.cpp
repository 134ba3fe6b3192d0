#include "libs/base/result.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace raymesh {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error(errors::kInvalidRequest, std::to_string(n) + " is odd");
  return n / 2;
}

Result<int> quarter(int n) {
  RAYMESH_TRY(int h, half(n));
  RAYMESH_TRY(auto q, half(h));
  return q;
}

Status check_even(int n) {
  RAYMESH_CHECK_OK(half(n));
  return ok_status();
}

TEST(ResultTest, HoldsAValueOrAnError) {
  auto good = half(4);
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, 2);
  auto bad = half(3);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().message, "3 is odd");
  EXPECT_EQ(bad.error().code(), "invalid_request");
  EXPECT_EQ(bad.error().http_status(), 400);
  EXPECT_EQ(bad.error().status(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(bad.error().is(errors::kInvalidRequest));
  EXPECT_FALSE(bad.error().is(errors::kNotFound));
}

TEST(ResultTest, TryReturnsTheFirstError) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().message, "3 is odd");
  EXPECT_EQ(quarter(5).error().message, "5 is odd");
  EXPECT_TRUE(check_even(2).ok());
  EXPECT_FALSE(check_even(1).ok());
}

TEST(ResultTest, CarriesMoveOnlyValues) {
  Result<std::unique_ptr<int>> r = std::make_unique<int>(7);
  std::unique_ptr<int> taken = *std::move(r);
  EXPECT_EQ(*taken, 7);
}

TEST(ResultTest, AnErrorWithoutKindIsInternal) {
  EXPECT_TRUE(Error().is(errors::kInternal));
}

}  // namespace
}  // namespace raymesh
