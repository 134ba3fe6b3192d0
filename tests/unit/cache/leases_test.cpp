#include "services/cache/leases.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace raymesh::cache {
namespace {

TEST(LeasesTest, TakesSensibleBuckets) {
  EXPECT_TRUE(check_lease({"key/1", 10, 20, 5}).ok());
  EXPECT_TRUE(check_lease({"key/1", 0.001, 1, 1}).ok());
  EXPECT_TRUE(check_lease({"key/1", 1e6, 1e6, 1e6}).ok());
}

TEST(LeasesTest, RefusesNumbersThatMakeNoBucket) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
  for (const LeaseRequest& request :
       std::initializer_list<LeaseRequest>{{"", 1, 1, 1},
                                           {std::string(513, 'b'), 1, 1, 1},
                                           {"b", 0, 1, 1},
                                           {"b", -1, 1, 1},
                                           {"b", nan, 1, 1},
                                           {"b", inf, 1, 1},
                                           {"b", 1, 0, 1},
                                           {"b", 1, nan, 1},
                                           {"b", 1, 1e300, 1},
                                           {"b", 1, 1, 0},
                                           {"b", 1, 1, -5},
                                           {"b", 1, 1, inf}}) {
    Status status = check_lease(request);
    ASSERT_FALSE(status.ok());
    EXPECT_TRUE(status.error().is(errors::kInvalidRequest));
  }
}

}  // namespace
}  // namespace raymesh::cache
