// Turns of a session's actor (docs/adr/0047-turns-without-messages.md), on a real connection of a
// gateway's thread.
#include "services/gateway/raystream_actor.hpp"

#include <gtest/gtest.h>

#include <future>
#include <stdexcept>
#include <string>
#include <vector>

#include "libs/actor/loop_unit.hpp"
#include "libs/actor/system.hpp"
#include "libs/net/listener.hpp"
#include "tests/support/raystream_client.hpp"

namespace raymesh::gateway {
namespace {

using testing::RaystreamClient;
using testing::Transport;

class RaystreamActorTest : public ::testing::Test {
 protected:
  RaystreamActorTest() {
    on_thread([&] { worker().actors = std::make_unique<actor::LoopUnit>(core_.system); });
    auto listener =
        net::Listener::open(core_.threads, {.address = "127.0.0.1:0"}, [&](net::Accepted accepted) {
          EXPECT_TRUE(core_.raystream_limits.open("127.0.0.1"));
          core_.probe.connection_opened();
          RaystreamSession::open(worker(), {net::ByteStream(std::move(accepted.socket), nullptr),
                                            std::move(accepted.slot),
                                            "127.0.0.1",
                                            true,
                                            false,
                                            {},
                                            {}});
        });
    EXPECT_TRUE(listener.ok());
    listener_ = std::move(listener).value();
    client_.emplace(Transport::kTcp, listener_->port());
    while (!session_)
      on_thread([&] {
        if (!worker().raystream_sessions.empty())
          session_ = (*worker().raystream_sessions.begin())->shared_from_this();
      });
  }
  ~RaystreamActorTest() override {
    listener_->close();
    on_thread([&] {
      if (!session_->ended()) tell(*session_, Abort{});
      session_.reset();
      worker().wheel.stop();
      worker().fences.stop();
      worker().actors.reset();
    });
    core_.threads.stop();
  }

  Worker& worker() { return *core_.workers[0]; }
  template <class F>
  void on_thread(F run) {
    std::promise<void> done;
    core_.threads.post(0, [&] {
      run();
      done.set_value();
    });
    done.get_future().wait();
  }

  std::shared_ptr<metrics::Registry> registry_ = metrics::Registry::create();
  actor::System actors_{1};
  Core core_{[] {
               Config config;
               config.threads = 1;
               return config;
             }(),
             *registry_, actors_.get()};
  std::shared_ptr<net::Listener> listener_;
  std::optional<RaystreamClient> client_;
  std::shared_ptr<RaystreamSession> session_;
};

TEST_F(RaystreamActorTest, ATurnRunsAtOnceAndOneOfItsOwnAfterIt) {
  std::vector<std::string> order;
  on_thread([&] {
    take_turn(session_, [&] {
      order.emplace_back("outer begins");
      take_turn(session_, [&order] { order.emplace_back("inner"); });
      order.emplace_back("outer ends");
    });
    order.emplace_back("back");
  });
  EXPECT_EQ(order, (std::vector<std::string>{"outer begins", "outer ends", "inner", "back"}));
}

TEST_F(RaystreamActorTest, AnExceptionEndsActorAndConnection) {
  on_thread([&] {
    take_turn(session_, []() -> void { throw std::runtime_error("a defect"); });
    EXPECT_TRUE(session_->ended());
    EXPECT_TRUE(worker().raystream_sessions.empty());
    EXPECT_FALSE(worker().in_turn());
    // Nothing more comes in.
    bool ran = false;
    take_turn(session_, [&ran] { ran = true; });
    EXPECT_FALSE(ran);
  });
  EXPECT_FALSE(client_->receive());
  EXPECT_NE(registry_->render().find("raymesh_gateway_raystream_failed_sessions_total 1"),
            std::string::npos);
}

TEST_F(RaystreamActorTest, AMessageMayEndTheSessionInsideATurn) {
  on_thread([&] {
    take_turn(session_, [&] {
      tell(*session_, Abort{});
      EXPECT_FALSE(session_->ended());
    });
    EXPECT_TRUE(session_->ended());
  });
  // A plain CLOSE, and the end.
  EXPECT_NE(client_->receive_close(), raystream::ErrorCode::kNone);
}

}  // namespace
}  // namespace raymesh::gateway
