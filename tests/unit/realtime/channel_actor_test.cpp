// The channel's actor and registry with real inboxes, but without sockets.
#include "services/realtime/channel_actor.hpp"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "libs/actor/loop_unit.hpp"
#include "libs/actor/system.hpp"
#include "services/realtime/channel_registry.hpp"
#include "services/realtime/memory_broker.hpp"

namespace raymesh::realtime {
namespace {

class ChannelActorTest : public ::testing::Test {
 protected:
  ChannelActorTest() : registry_(actors_.get(), outlets_, 100, [](const ChannelPtr&) {}) {
    outlets_->broker = broker_;
  }

  static MemberPtr member(size_t shard, uint32_t slot) {
    auto m = std::make_shared<Member>();
    m->connection = ConnectionId::make(shard, slot, 1);
    m->id = std::to_string(shard) + "-" + std::to_string(slot);
    return m;
  }
  static std::shared_ptr<PublishBatch> batch(std::initializer_list<const char*> payloads,
                                             ConnectionId origin = {}) {
    auto b = std::make_shared<PublishBatch>(origin);
    for (const char* p : payloads) b->add(p);
    return b;
  }
  std::vector<InboxItem> taken(size_t shard) {
    std::vector<InboxItem> items;
    outlets_->shards[shard]->take(items);
    return items;
  }

  actor::System actors_{2};
  std::shared_ptr<ChannelOutlets> outlets_ = std::make_shared<ChannelOutlets>(2);
  ChannelRegistry registry_;
  std::shared_ptr<MemoryBroker> broker_ = std::make_shared<MemoryBroker>(BrokerNode{
      outlets_->rules,
      {},
      [this](const std::string& p, const std::string& c) { return registry_.obtain(p, c); },
      [](const Revocation&, UniqueFunction<void(uint64_t)> done) { done(0); }});
};

TEST_F(ChannelActorTest, RunsOnTheThreadThatSendsToIt) {
  actor::LoopUnit unit(actors_.get());
  const auto channel = registry_.pin("p", "c");
  tell(*channel, Join{member(0, 1), {}, {}, 0});
  tell(*channel, Join{member(1, 2), {}, {}, 0});
  EXPECT_TRUE(taken(0).empty());
  EXPECT_FALSE(unit.run());
  // No other thread took part: what it did is there without waiting.
  auto first = taken(0);
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(std::get<Joined>(first[0]).connection, ConnectionId::make(0, 1, 1));
  ASSERT_EQ(taken(1).size(), 1u);
  registry_.unpin(channel);
  unit.run();
}

TEST_F(ChannelActorTest, HandsABatchToTheShardsThatHaveMembers) {
  actor::LoopUnit unit(actors_.get());
  const auto channel = registry_.pin("p", "c");
  tell(*channel, Join{member(1, 1), {}, {}, 0});
  unit.run();
  taken(1);
  uint64_t delivered = 0;
  broker_->publish("p", "c", channel, batch({"1", "2"}),
                   [&](Result<Published> p) { delivered = p->delivered; });
  unit.run();
  EXPECT_EQ(delivered, 1u);
  EXPECT_TRUE(taken(0).empty());
  auto items = taken(1);
  ASSERT_EQ(items.size(), 1u);
  const auto& delivery = std::get<Delivery>(items[0]);
  EXPECT_EQ(delivery.what.messages, 2u);
  EXPECT_EQ(outlets_->shards[1]->queued_bytes(), delivery.what.span.size());
  registry_.unpin(channel);
  unit.run();
}

TEST_F(ChannelActorTest, JoinedComesBeforeWhatItsConnectionIsToReceive) {
  actor::LoopUnit unit(actors_.get());
  const auto channel = registry_.pin("p", "c");
  // Becoming a member takes some steps, between which messages may go out.
  auto settle = [&unit] {
    while (unit.run()) {
    }
  };
  tell(*channel, Join{member(0, 1), {}, {}, 0});
  settle();
  broker_->publish("p", "c", channel, batch({"1"}), nullptr);
  tell(*channel, Join{member(0, 2), {}, {}, 0});
  settle();
  broker_->publish("p", "c", channel, batch({"2"}), nullptr);
  settle();
  const auto items = taken(0);
  ASSERT_EQ(items.size(), 4u);
  EXPECT_TRUE(std::holds_alternative<Joined>(items[0]));
  EXPECT_TRUE(std::holds_alternative<Delivery>(items[1]));
  EXPECT_TRUE(std::holds_alternative<Joined>(items[2]));
  EXPECT_TRUE(std::holds_alternative<Delivery>(items[3]));
  registry_.unpin(channel);
  unit.run();
}

TEST_F(ChannelActorTest, APublishFromItsOnlyMemberGoesNowhere) {
  actor::LoopUnit unit(actors_.get());
  const auto channel = registry_.pin("p", "c");
  const auto m = member(0, 1);
  tell(*channel, Join{m, {}, {}, 0});
  unit.run();
  taken(0);
  uint64_t delivered = 99;
  broker_->publish("p", "c", channel, batch({"1"}, m->connection),
                   [&](Result<Published> p) { delivered = p->delivered; });
  unit.run();
  EXPECT_EQ(delivered, 0u);
  EXPECT_TRUE(taken(0).empty());
  registry_.unpin(channel);
  unit.run();
}

TEST_F(ChannelActorTest, APublishToAChannelThatIsBeingGivenUpIsAnswered) {
  const auto channel = registry_.pin("p", "c");
  registry_.unpin(channel);
  std::promise<uint64_t> delivered;
  broker_->publish("p", "c", channel, batch({"1"}),
                   [&](Result<Published> p) { delivered.set_value(p->delivered); });
  EXPECT_EQ(delivered.get_future().get(), 0u);
  std::promise<std::string> presence;
  broker_->presence("p", "c", channel, {},
                    [&](Result<PresencePage> p) { presence.set_value(p->members_json); });
  EXPECT_EQ(presence.get_future().get(), "[]");
}

TEST_F(ChannelActorTest, WithoutAUnitItRunsOnTheActorSystemsThreads) {
  const auto channel = registry_.pin("p", "c");
  tell(*channel, Join{member(0, 1), {}, {}, 0});
  while (taken(0).empty()) std::this_thread::yield();
  std::promise<uint64_t> delivered;
  broker_->publish("p", "c", channel, batch({"1"}),
                   [&](Result<Published> p) { delivered.set_value(p->delivered); });
  EXPECT_EQ(delivered.get_future().get(), 1u);
  registry_.unpin(channel);
}

TEST_F(ChannelActorTest, TheRegistryKeepsOneActorPerChannelInUse) {
  const auto a = registry_.pin("p", "c");
  const auto b = registry_.pin("p", "c");
  EXPECT_EQ(a, b);
  EXPECT_NE(registry_.pin("q", "c"), a);
  EXPECT_EQ(registry_.find("p", "c"), a);
  registry_.unpin(a);
  EXPECT_EQ(registry_.find("p", "c"), a);
  registry_.unpin(b);
  EXPECT_EQ(registry_.find("p", "c"), nullptr);
  EXPECT_EQ(registry_.size(), 1u);
  for (int i = 0; i < 99; ++i) EXPECT_TRUE(registry_.pin("p", std::to_string(i)));
  EXPECT_FALSE(registry_.pin("p", "one too many"));
}

TEST(ShardInboxTest, WakesASleepingShardOnce) {
  ShardInbox inbox;
  uint64_t count = 0;
  inbox.post(Incoming{{1}});
  EXPECT_FALSE(inbox.prepare_sleep());
  std::vector<InboxItem> items;
  inbox.take(items);
  EXPECT_TRUE(inbox.prepare_sleep());
  EXPECT_LT(::read(inbox.wake_fd(), &count, sizeof count), 0);
  inbox.post(Incoming{{2}});
  inbox.post(Incoming{{3}});
  EXPECT_EQ(::read(inbox.wake_fd(), &count, sizeof count), 8);
  EXPECT_EQ(count, 1u);
}

}  // namespace
}  // namespace raymesh::realtime
