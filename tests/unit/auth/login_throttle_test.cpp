#include "services/auth/login_throttle.hpp"

#include <gtest/gtest.h>

namespace raymesh::auth {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class LoginThrottleTest : public testing::Test {
 protected:
  milliseconds begin(const std::string& account, const std::string& address) {
    return throttle_.begin({account, address}, now_);
  }
  int failures_until_refused(const std::string& account, const std::string& address) {
    int count = 0;
    while (count < 10'000 && begin(account, address) == milliseconds(0)) ++count;
    return count;
  }

  ThrottleConfig config_{.account_burst = 3,
                         .account_refill = seconds(30),
                         .address_burst = 5,
                         .address_refill = seconds(1),
                         .capacity = 100};
  LoginThrottle throttle_{config_};
  LoginThrottle::Clock::time_point now_{std::chrono::hours(1)};
};

TEST_F(LoginThrottleTest, RefusesAnAccountAfterItsBurstAndSaysForHowLong) {
  EXPECT_EQ(failures_until_refused("ada", ""), 3);
  EXPECT_EQ(begin("ada", ""), seconds(30));
  now_ += seconds(10);
  EXPECT_EQ(begin("ada", ""), seconds(20));
  now_ += seconds(20);
  EXPECT_EQ(begin("ada", ""), milliseconds(0));
  EXPECT_EQ(begin("ada", ""), seconds(30));
}

TEST_F(LoginThrottleTest, OtherAccountsGoOn) {
  failures_until_refused("ada", "");
  EXPECT_EQ(begin("bob", ""), milliseconds(0));
}

TEST_F(LoginThrottleTest, AnAddressMayNotTryManyAccounts) {
  int tried = 0;
  while (begin("user" + std::to_string(tried), "10.0.0.1") == milliseconds(0)) ++tried;
  EXPECT_EQ(tried, 5);
  EXPECT_EQ(begin("new", "10.0.0.2"), milliseconds(0));
}

TEST_F(LoginThrottleTest, ARefusedAttemptCostsNothing) {
  EXPECT_EQ(failures_until_refused("ada", "10.0.0.1"), 3);
  for (int i = 0; i < 100; ++i) EXPECT_GT(begin("ada", "10.0.0.1"), milliseconds(0));
  // Two of the address's five are left.
  EXPECT_EQ(begin("bob", "10.0.0.1"), milliseconds(0));
  EXPECT_EQ(begin("eve", "10.0.0.1"), milliseconds(0));
  EXPECT_GT(begin("joe", "10.0.0.1"), milliseconds(0));
}

TEST_F(LoginThrottleTest, SuccessForgivesTheAccount) {
  begin("ada", "10.0.0.1");
  begin("ada", "10.0.0.1");
  begin("ada", "10.0.0.1");
  throttle_.succeeded({"ada", "10.0.0.1"});
  EXPECT_EQ(failures_until_refused("ada", ""), 3);
}

TEST_F(LoginThrottleTest, SuccessesNeverAddUp) {
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_EQ(begin("ada", "10.0.0.1"), milliseconds(0));
    throttle_.succeeded({"ada", "10.0.0.1"});
  }
  EXPECT_EQ(failures_until_refused("", "10.0.0.1"), 5);
}

TEST_F(LoginThrottleTest, CancelledAttemptsDoNotCount) {
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_EQ(begin("ada", "10.0.0.1"), milliseconds(0));
    throttle_.cancelled({"ada", "10.0.0.1"});
  }
}

TEST_F(LoginThrottleTest, AttemptsAtOnceAreCountedBeforeTheyEnd) {
  int admitted = 0;
  for (int i = 0; i < 50; ++i) admitted += begin("ada", "") == milliseconds(0);
  EXPECT_EQ(admitted, 3);
}

TEST_F(LoginThrottleTest, RemembersABoundedNumberOfAccounts) {
  failures_until_refused("ada", "");
  for (int i = 0; i < 100; ++i) begin("user" + std::to_string(i), "");
  EXPECT_EQ(begin("ada", ""), milliseconds(0));
}

TEST_F(LoginThrottleTest, AClockThatStandsStillGivesNothing) {
  failures_until_refused("ada", "");
  now_ -= seconds(5);
  EXPECT_GT(begin("ada", ""), milliseconds(0));
}

}  // namespace
}  // namespace raymesh::auth
