// The redis broker when links break, Redis restarts, and nodes are cut off, stopped or killed.
#include "tests/db/realtime/broker_harness.hpp"

namespace raymesh::realtime {
namespace {

using namespace std::chrono_literals;
using test::LinkProxy;

class BrokerFaultsTest : public BrokerTest {
 protected:
  using BrokerTest::BrokerTest;

  // After a while whoever is subscribed gets what is published, and what it has missed until then
  // it was told.
  static void expect_served(TestNode& from, TestNode& to, const std::string& channel) {
    static int count = 0;
    ASSERT_TRUE(wait([&] {
      const std::string payload = "9" + std::to_string(1'000'000 + ++count);
      return from.publish(channel, {payload}).ok() &&
             to.wait(
                 channel,
                 [&](const auto& s) {
                   return std::find(s.payloads.begin(), s.payloads.end(), payload) !=
                          s.payloads.end();
                 },
                 500ms);
    })) << to.seen(channel).at.offset;
    EXPECT_EQ(to.seen(channel).broken, "");
  }
};

TEST_F(BrokerFaultsTest, ABrokenLinkIsToldOrMendedHoweverItBreaks) {
  LinkProxy proxy(redis_.socket());
  auto a = node();
  auto b = node(proxy.url());
  ASSERT_TRUE(b->join("room", "b").ok());
  ASSERT_TRUE(b->join("kept", "b").ok());
  size_t losses = 0;
  for (const auto mode : {LinkProxy::Mode::kCut, LinkProxy::Mode::kStall,
                          LinkProxy::Mode::kStallBack, LinkProxy::Mode::kStallForth}) {
    expect_served(*a, *b, "room");
    expect_served(*a, *b, "kept");
    ASSERT_TRUE(b->wait_ready());
    losses = b->seen("room").lost.size();
    proxy.set(mode);
    ASSERT_TRUE(wait([&] { return !b->broker().ready().ok(); })) << "noticed within a bound";
    Position last;
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE(a->publish("room", {"1"}).ok());
      last = a->publish("kept", {"1"})->last;
    }
    proxy.set(LinkProxy::Mode::kPass);
    ASSERT_TRUE(b->wait("room", [&](const auto& s) { return s.lost.size() > losses; }))
        << "also when nothing new comes; mode " << static_cast<int>(mode);
    ASSERT_TRUE(b->wait("kept", [&](const auto& s) { return s.at.offset == last.offset; }));
    expect_served(*a, *b, "room");
    expect_served(*b, *b, "kept");
    EXPECT_TRUE(b->seen("kept").lost.empty()) << "history has it all";
    EXPECT_TRUE(wait([&] { return ids(*a, "room") == std::vector<std::string>{"b"}; }));
  }
}

TEST_F(BrokerFaultsTest, AnUndisturbedChannelHearsNothingOfABrokenLink) {
  LinkProxy proxy(redis_.socket());
  auto b = node(proxy.url());
  ASSERT_TRUE(b->join("room", "b").ok());
  expect_served(*b, *b, "room");
  for (int i = 0; i < 3; ++i) {
    const uint64_t breaks = b->redis().stats().link_breaks;
    proxy.reset();
    ASSERT_TRUE(
        wait([&] { return b->redis().stats().link_breaks > breaks && b->broker().ready().ok(); }));
    expect_served(*b, *b, "room");
  }
  EXPECT_TRUE(b->seen("room").lost.empty());
}

TEST_F(BrokerFaultsTest, RedisThatHasLostEverythingGetsItsMembersBack) {
  auto a = node();
  auto b = node();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(a->join("room" + std::to_string(i), "a").ok());
    ASSERT_TRUE(b->join("room" + std::to_string(i), "b", "bob").ok());
  }
  redis_.kill();
  ASSERT_TRUE(wait([&] { return !a->broker().ready().ok() && !b->broker().ready().ok(); }));
  b->leave("room1", "b");  // nobody hears it
  redis_.start();
  for (int i = 0; i < 20; ++i) {
    const std::string room = "room" + std::to_string(i);
    const auto truth = i == 1 ? std::vector<std::string>{"a"} : std::vector<std::string>{"a", "b"};
    ASSERT_TRUE(wait([&] { return ids(*a, room) == truth; })) << room;
    EXPECT_EQ(b->publish(room, {"7"})->delivered, truth.size());
    EXPECT_EQ(a->presence(room)->identities, truth.size() - 1);
    ASSERT_TRUE(a->wait(room, [](const auto& s) { return !s.payloads.empty(); }));
    EXPECT_EQ(a->seen(room).broken, "");
  }
}

class BrokerAofTest : public BrokerFaultsTest {
 protected:
  BrokerAofTest() : BrokerFaultsTest({"--appendonly", "yes", "--appendfsync", "everysec"}) {}
};

TEST_F(BrokerAofTest, ARestartedRedisShowsNoGhostsAndBeginsANewEpoch) {
  auto a = node();
  auto b = node();
  ASSERT_TRUE(a->join("kept", "a").ok());
  ASSERT_TRUE(b->join("kept", "b").ok());
  ASSERT_TRUE(b->join("kept", "gone").ok());
  const Position before = a->publish("kept", {"1"})->last;
  // Its last second may be lost: what was a member, and what was not.
  redis_.cli({"HSET", "rm:rt:i:p/kept", "nobody", "1"});
  redis_.kill();
  ASSERT_TRUE(wait([&] { return !b->broker().ready().ok(); }));
  b->leave("kept", "gone");
  redis_.start();
  ASSERT_TRUE(wait([&] { return ids(*a, "kept") == std::vector<std::string>{"a", "b"}; }));
  Result<Published> after = Published{};
  ASSERT_TRUE(wait([&] { return (after = a->publish("kept", {"2"})).ok(); }));
  EXPECT_NE(after->last.epoch, before.epoch);
  ASSERT_TRUE(b->wait("kept", [](const auto& s) { return !s.lost.empty(); }));
  EXPECT_EQ(b->seen("kept").broken, "");
  const auto joined = b->join("kept", "late", "", before);
  ASSERT_TRUE(joined.ok());
  EXPECT_EQ(joined->recovered, false) << "nothing of the old epoch can be known";
}

TEST_F(BrokerFaultsTest, AFlushedRedisHealsByItself) {
  auto a = node();
  ASSERT_TRUE(a->join("room", "1").ok());
  redis_.cli({"FLUSHALL"});
  ASSERT_TRUE(wait([&] { return ids(*a, "room") == std::vector<std::string>{"1"}; }));
  expect_served(*a, *a, "room");
}

TEST_F(BrokerFaultsTest, MembersOfAKilledNodeLeaveWithinTheBound) {
  LinkProxy proxy(redis_.socket());
  auto a = node();
  auto b = node(proxy.url());
  ASSERT_TRUE(a->join("room", "a").ok());
  ASSERT_TRUE(b->join("room", "b", "bob").ok());
  ASSERT_TRUE(a->wait(
      "room", [](const auto& s) { return !s.events.empty() && s.events.back() == "join b"; }));
  proxy.set(LinkProxy::Mode::kCut);
  const auto before = std::chrono::steady_clock::now();
  ASSERT_TRUE(a->wait("room", [](const auto& s) { return s.events.back() == "leave b"; }));
  EXPECT_LT(std::chrono::steady_clock::now() - before, 3s + 500ms) << "presence_timeout";
  EXPECT_EQ(ids(*a, "room"), std::vector<std::string>{"a"});
  EXPECT_EQ(a->presence("room")->identities, 0u);
  EXPECT_EQ(a->publish("room", {"1"})->delivered, 1u);
  // It was not dead after all.
  proxy.set(LinkProxy::Mode::kPass);
  ASSERT_TRUE(a->wait("room", [](const auto& s) { return s.events.back() == "join b"; }));
  EXPECT_EQ(ids(*b, "room"), (std::vector<std::string>{"a", "b"}));
  expect_served(*a, *b, "room");
}

TEST_F(BrokerFaultsTest, NothingIsToldBetweenMissedEventsAndTheirGap) {
  LinkProxy proxy(redis_.socket());
  auto a = node();
  auto b = node(proxy.url());
  for (const char* id : {"a", "x"}) ASSERT_TRUE(a->join("room", id).ok());
  for (const char* id : {"b1", "b2"}) ASSERT_TRUE(b->join("room", id).ok());
  ASSERT_TRUE(a->join("room", "last").ok());
  ASSERT_TRUE(b->wait(
      "room", [](const auto& s) { return !s.events.empty() && s.events.back() == "join last"; }));
  const size_t before = b->seen("room").events.size();
  const auto leaves = [](const TestNode::Seen& s) {
    return std::count_if(s.events.begin(), s.events.end(),
                         [](const std::string& e) { return e.starts_with("leave b"); });
  };
  proxy.set(LinkProxy::Mode::kCut);
  ASSERT_TRUE(a->wait("room", [&](const auto& s) { return leaves(s) == 2; })) << "past its lease";
  a->leave("room", "x");
  ASSERT_TRUE(a->join("room", "y").ok());
  proxy.set(LinkProxy::Mode::kPass);
  ASSERT_TRUE(b->wait("room", [&](const auto& s) { return s.events.size() > before; }));
  // Whoever reads presence now knows everybody, and then hears of every change.
  EXPECT_EQ(ids(*b, "room"), (std::vector<std::string>{"a", "b1", "b2", "last", "y"}));
  ASSERT_TRUE(a->join("room", "z").ok());
  a->leave("room", "y");
  ASSERT_TRUE(b->wait("room", [](const auto& s) { return s.events.back() == "leave y"; }));
  auto events = b->seen("room").events;
  events.erase(events.begin(), events.begin() + static_cast<std::ptrdiff_t>(before));
  // Its own members entered again, which is no news to those who watch there.
  EXPECT_EQ(events, (std::vector<std::string>{"gap", "join z", "leave y"}));
  const auto& others = a->seen("room").events;
  EXPECT_EQ(std::count(others.begin(), others.end(), "join b1"), 2) << "left and came back";
  EXPECT_EQ(std::count(others.begin(), others.end(), "gap"), 0);
}

TEST_F(BrokerFaultsTest, ANodeThatWasStoppedPastItsLeaseDeliversNothingOld) {
  auto a = node();
  auto b = node();
  ASSERT_TRUE(b->join("room", "b").ok());
  expect_served(*a, *b, "room");
  const size_t before = b->seen("room").payloads.size();
  // Stops the broker's thread, as SIGSTOP stops all of it.
  std::promise<void> stopped, resume;
  b->on_revoke = [&] {
    stopped.set_value();
    resume.get_future().wait();
  };
  std::thread revoking([&] {
    Revocation revocation;
    revocation.project = "p";
    revocation.value = "x";
    revocation.keep_until = std::time(nullptr) + 100;
    a->revoke(revocation).ok();
  });
  stopped.get_future().wait();
  revoking.join();
  ASSERT_TRUE(wait([&] { return ids(*a, "room").empty(); })) << "its lease has ended";
  for (int i = 0; i < 5; ++i) EXPECT_EQ(a->publish("room", {"5"})->delivered, 0u);
  b->on_revoke = nullptr;
  resume.set_value();
  ASSERT_TRUE(b->wait("room", [](const auto& s) { return !s.lost.empty(); }));
  EXPECT_EQ(b->seen("room").payloads.size(), before) << "what was waiting for it is too old";
  ASSERT_TRUE(wait([&] { return ids(*a, "room") == std::vector<std::string>{"b"}; }));
  expect_served(*a, *b, "room");
}

TEST_F(BrokerFaultsTest, NobodyWaitsForADeadRedis) {
  auto a = node();
  ASSERT_TRUE(a->join("room", "1").ok());
  redis_.kill();
  const auto before = std::chrono::steady_clock::now();
  const auto published = a->publish("room", {"1"});
  EXPECT_FALSE(published.ok());
  const auto joined = a->join("other", "2");
  ASSERT_FALSE(joined.ok());
  EXPECT_TRUE(joined.error().is(errors::kUnavailable)) << joined.error().message;
  EXPECT_FALSE(a->presence("room").ok());
  EXPECT_FALSE(a->history("room", {}, 1).ok());
  Revocation revocation;
  revocation.value = "x";
  EXPECT_FALSE(a->revoke(revocation).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - before, 8s);
  redis_.start();
  expect_served(*a, *a, "room");
}

TEST_F(BrokerFaultsTest, ARedisThatHangsIsAnsweredForInTime) {
  auto a = node();
  ASSERT_TRUE(a->join("room", "1").ok());
  redis_.pause();
  const auto before = std::chrono::steady_clock::now();
  const auto published = a->publish("room", {"1"});
  ASSERT_FALSE(published.ok());
  EXPECT_TRUE(published.error().is(errors::kOutcomeUnknown)) << published.error().message;
  EXPECT_FALSE(a->join("other", "2").ok());
  EXPECT_LT(std::chrono::steady_clock::now() - before, 8s);
  redis_.resume();
  expect_served(*a, *a, "room");
  ASSERT_TRUE(wait([&] { return ids(*a, "room") == std::vector<std::string>{"1"}; }));
  ASSERT_TRUE(wait([&] { return a->presence("other")->count == 0; })) << "it was told: no";
}

TEST_F(BrokerFaultsTest, ANodeThatWasCutOffLearnsWhatWasRevoked) {
  LinkProxy proxy(redis_.socket());
  auto a = node();
  auto b = node(proxy.url());
  proxy.set(LinkProxy::Mode::kStall);
  ASSERT_TRUE(wait([&] { return !b->broker().ready().ok(); }));
  Revocation revocation;
  revocation.project = "p";
  revocation.value = "jti";
  revocation.keep_until = std::time(nullptr) + 3'600;
  const auto before = std::chrono::steady_clock::now();
  const auto report = a->revoke(revocation);
  ASSERT_TRUE(report.ok());
  EXPECT_LT(std::chrono::steady_clock::now() - before, 2s);
  EXPECT_EQ(report->nodes, 1u);
  EXPECT_LE(report->unreached, 1u) << "0 when its lease has ended already";
  EXPECT_TRUE(b->revoked().empty());
  proxy.set(LinkProxy::Mode::kPass);
  EXPECT_TRUE(wait([&] { return b->revoked() == std::vector<std::string>{"jti"}; }));
}

TEST_F(BrokerFaultsTest, HandedOverMembersDoNotFlicker) {
  auto a = node();
  auto b = node();
  ASSERT_TRUE(a->join("room", "watcher").ok());
  ASSERT_TRUE(b->join("room", "1", "ada").ok());
  ASSERT_TRUE(a->wait(
      "room", [](const auto& s) { return !s.events.empty() && s.events.back() == "join 1"; }));
  b->leave("room", "1", 30s);
  b.reset();
  EXPECT_EQ(ids(*a, "room"), (std::vector<std::string>{"1", "watcher"}));
  auto c = node();
  const auto joined = c->join("room", "again", "ada", std::nullopt, "1");
  ASSERT_TRUE(joined.ok());
  EXPECT_EQ(joined->member->id, "1");
  EXPECT_EQ(ids(*a, "room"), (std::vector<std::string>{"1", "watcher"}));
  EXPECT_EQ(a->presence("room")->count, 2u);
  EXPECT_EQ(a->publish("room", {"1"})->delivered, 2u);
  expect_served(*a, *a, "room");
  EXPECT_EQ(a->seen("room").events.back(), "join 1") << "neither left nor came again";
  // It keeps the id when everything is registered anew, and takes no other's place then.
  ASSERT_TRUE(c->join("room", "2", "ada", std::nullopt, "1").ok());
  c->leave("room", "2", 30s);
  redis_.cli({"EVAL",
              "for _, k in ipairs(redis.call('KEYS', 'rm:rt:lease:*')) do "
              "redis.call('DEL', k) end",
              "0"});
  ASSERT_TRUE(wait([&] {
    return ids(*a, "room") == std::vector<std::string>{"1", "2", "watcher"};
  }));
  // Its own lease has gone, too: from here on it is told everything.
  ASSERT_TRUE(a->wait("room", [](const auto& s) {
    return std::find(s.events.begin(), s.events.end(), "gap") != s.events.end();
  }));
  c->leave("room", "again");
  ASSERT_TRUE(a->wait("room", [](const auto& s) { return s.events.back() == "leave 1"; }));
  EXPECT_EQ(ids(*a, "room"), (std::vector<std::string>{"2", "watcher"}));
}

}  // namespace
}  // namespace raymesh::realtime
