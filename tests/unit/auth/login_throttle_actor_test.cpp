#include "services/auth/login_throttle_actor.hpp"

#include <gtest/gtest.h>
#include <caf/actor_system.hpp>
#include <caf/send.hpp>

#include <future>

#include "libs/actor/system.hpp"
#include "services/auth/probe.hpp"

namespace raymesh::auth {
namespace {

class LoginThrottleActorTest : public testing::Test {
 protected:
  ~LoginThrottleActorTest() override {
    caf::anon_send_exit(actor_, caf::exit_reason::user_shutdown);
  }

  std::chrono::milliseconds begin(const std::string& account) {
    std::promise<std::chrono::milliseconds> answer;
    caf::anon_send(
        actor_, BeginLogin{{account, ""},
                           std::make_shared<UniqueFunction<void(std::chrono::milliseconds)>>(
                               [&](std::chrono::milliseconds wait) { answer.set_value(wait); })});
    return answer.get_future().get();
  }

  std::shared_ptr<metrics::Registry> registry_ = metrics::Registry::create();
  Probe probe_{*registry_};
  actor::System system_{2};
  caf::actor actor_ = spawn_login_throttle(
      system_.get(), {.account_burst = 2, .account_refill = std::chrono::hours(1)}, probe_);
};

TEST_F(LoginThrottleActorTest, AnswersAndKeepsCount) {
  EXPECT_EQ(begin("ada").count(), 0);
  caf::anon_send(actor_, LoginCancelled{{"ada", ""}});
  EXPECT_EQ(begin("ada").count(), 0);
  EXPECT_EQ(begin("ada").count(), 0);
  EXPECT_GT(begin("ada").count(), 0);
  EXPECT_NE(registry_->render().find("raymesh_auth_throttled_total 1"), std::string::npos);
  caf::anon_send(actor_, LoginSucceeded{{"ada", ""}});
  EXPECT_EQ(begin("ada").count(), 0);
}

}  // namespace
}  // namespace raymesh::auth
