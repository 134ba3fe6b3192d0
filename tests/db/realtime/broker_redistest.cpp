// What the redis broker does while nothing is broken.
#include <set>

#include "tests/db/realtime/broker_harness.hpp"

namespace raymesh::realtime {
namespace {

using namespace std::chrono_literals;

class RedisBrokerTest : public BrokerTest {};

MemberPtr member(const std::string& id, const std::string& identity) {
  auto out = std::make_shared<Member>();
  out->id = id;
  out->identity = identity;
  out->project = "p";
  return out;
}

TEST_F(RedisBrokerTest, AllNodesSeeOneOrder) {
  auto a = node();
  auto b = node();
  ASSERT_TRUE(a->join("room", "1").ok());
  ASSERT_TRUE(b->join("room", "2").ok());
  constexpr int kBatches = 500, kEach = 4;
  std::vector<std::future<Result<Published>>> answers;
  for (int i = 0; i < kBatches; ++i) {
    TestNode& from = i % 2 == 0 ? *a : *b;
    std::vector<std::string> payloads;
    for (int k = 0; k < kEach; ++k) payloads.push_back(std::to_string(i * kEach + k));
    answers.push_back(from.begin_publish("room", payloads));
  }
  std::set<uint64_t> places;
  for (auto& answer : answers) {
    const auto published = answer.get();
    ASSERT_TRUE(published.ok()) << published.error().message;
    EXPECT_EQ(published->delivered, 2u);
    places.insert(published->last.offset);
  }
  EXPECT_EQ(places.size(), static_cast<size_t>(kBatches));
  for (TestNode* n : {a.get(), b.get()})
    ASSERT_TRUE(
        n->wait("room", [](const auto& s) { return s.offsets.size() == kBatches * kEach; }));
  EXPECT_EQ(a->seen("room").payloads, b->seen("room").payloads);
  EXPECT_EQ(a->seen("room").broken, "");
  EXPECT_TRUE(a->seen("room").lost.empty());
  const auto payloads = a->seen("room").payloads;
  EXPECT_EQ(std::set<std::string>(payloads.begin(), payloads.end()).size(),
            static_cast<size_t>(kBatches * kEach));
  EXPECT_GT(a->redis().stats().last_lag.count(), 0);
}

TEST_F(RedisBrokerTest, DeliveredLeavesTheOriginOut) {
  auto a = node();
  auto b = node();
  ASSERT_TRUE(a->join("room", "1").ok());
  ASSERT_TRUE(a->join("room", "2").ok());
  ASSERT_TRUE(b->join("room", "3").ok());
  EXPECT_EQ(a->publish("room", {"1"})->delivered, 3u);
  EXPECT_EQ(a->publish("room", {"2"}, a->connection("room", "1"))->delivered, 2u);
  EXPECT_EQ(a->publish("room", {"3"}, ConnectionId::make(0, 9'999, 1))->delivered, 3u)
      << "a publisher that is no subscriber";
  EXPECT_EQ(b->publish("nobody", {"4"})->delivered, 0u);
}

TEST_F(RedisBrokerTest, ASubscriptionFollowsOnItsPosition) {
  auto a = node();
  auto b = node();
  std::atomic<bool> stop{false};
  // Joins go on while messages come: none may be missed, none may come twice.
  std::thread publisher([&] {
    for (int i = 0; !stop; ++i) a->publish("room", {std::to_string(i)}).ok();
  });
  for (int round = 0; round < 30; ++round) {
    const auto joined = b->join("room", std::to_string(round));
    ASSERT_TRUE(joined.ok()) << joined.error().message;
    const size_t before = b->seen("room").offsets.size();
    ASSERT_TRUE(b->wait("room", [&](const auto& s) { return s.offsets.size() >= before + 5; }));
    if (round % 3 != 0) continue;
    // The last one goes, and so does the subscription: it begins anew.
    for (int gone = std::max(0, round - 2); gone <= round; ++gone)
      b->leave("room", std::to_string(gone));
    ASSERT_EQ(b->seen("room").broken, "");
    break;
  }
  stop = true;
  publisher.join();
  EXPECT_EQ(b->seen("room").broken, "");
  EXPECT_TRUE(b->seen("room").lost.empty());
}

TEST_F(RedisBrokerTest, RecoversFromAPositionOnAnyNode) {
  auto a = node();
  auto b = node();
  Position third;
  for (int i = 1; i <= 5; ++i) {
    const auto published = a->publish("kept", {std::to_string(i)});
    ASSERT_TRUE(published.ok());
    if (i == 3) third = published->last;
  }
  const auto joined = b->join("kept", "1", "", third);
  ASSERT_TRUE(joined.ok());
  EXPECT_EQ(joined->recovered, true);
  EXPECT_EQ(joined->at, third);
  EXPECT_EQ(joined->last.offset, 5u);
  const auto page = b->history("kept", third, 10);
  ASSERT_TRUE(page.ok());
  ASSERT_EQ(page->messages.size(), 2u);
  EXPECT_EQ(page->messages[0].offset, 4u);
  EXPECT_EQ(page->messages[0].payload, "4");
  const auto unknown = b->join("kept", "2", "", Position{1234, 3});
  ASSERT_TRUE(unknown.ok());
  EXPECT_EQ(unknown->recovered, false);
}

TEST_F(RedisBrokerTest, ReadsALongHistoryInPages) {
  auto a = node(redis_.url(), {"kept* history=5000 history-bytes=32MiB"});
  const std::string filler(2'000, 'x');
  std::vector<std::future<Result<Published>>> answers;
  for (int i = 0; i < 100; ++i)
    answers.push_back(a->begin_publish(
        "kept", std::vector<std::string>(30, '"' + std::to_string(i) + filler + '"')));
  for (auto& answer : answers) ASSERT_TRUE(answer.get().ok());
  const auto page = a->history("kept", {}, 2'500);
  ASSERT_TRUE(page.ok());
  ASSERT_EQ(page->messages.size(), 2'500u);
  for (size_t i = 0; i < page->messages.size(); ++i) ASSERT_EQ(page->messages[i].offset, i + 1);
  EXPECT_EQ(a->history("kept", {page->latest.epoch, 2'900}, 1'000)->messages.size(), 100u);
}

TEST_F(RedisBrokerTest, PresenceIsThatOfTheCluster) {
  auto a = node();
  auto b = node();
  ASSERT_TRUE(a->join("room", "1", "ada").ok());
  ASSERT_TRUE(b->join("room", "2", "ada").ok());
  ASSERT_TRUE(b->join("room", "3", "bob").ok());
  EXPECT_EQ(ids(*a, "room"), (std::vector<std::string>{"1", "2", "3"}));
  const auto page = a->presence("room", 1'000);
  EXPECT_EQ(page->count, 3u);
  EXPECT_EQ(page->identities, 2u);
  EXPECT_EQ(page->next, "");
  ASSERT_TRUE(a->wait("room", [](const auto& s) {
    return s.events == std::vector<std::string>{"join 1", "join 2", "join 3"} ||
           s.events == std::vector<std::string>{"join 2", "join 3"};
  }));
  b->leave("room", "2");
  ASSERT_TRUE(a->wait("room", [](const auto& s) { return s.events.back() == "leave 2"; }));
  EXPECT_EQ(ids(*b, "room"), (std::vector<std::string>{"1", "3"}));
}

TEST_F(RedisBrokerTest, APageGoesOnWhereTheLastOneEnded) {
  auto a = node();
  auto b = node();
  std::set<std::string> truth;
  for (int i = 0; i < 1'300; ++i) {
    const std::string id = "member" + std::to_string(i);
    ASSERT_TRUE((i % 2 ? a : b)->join("room", id).ok());
    truth.insert(id);
  }
  std::set<std::string> seen;
  std::string cursor;
  int pages = 0;
  do {
    const auto page = a->presence("room", 300, cursor);
    ASSERT_TRUE(page.ok());
    EXPECT_EQ(page->count, truth.size());
    const std::string& json = page->members_json;
    for (size_t at = json.find("{\"id\":\""); at != std::string::npos;
         at = json.find("{\"id\":\"", at + 1))
      seen.insert(json.substr(at + 7, json.find('"', at + 7) - at - 7));
    cursor = page->next;
    ASSERT_LT(++pages, 10);
  } while (!cursor.empty());
  EXPECT_EQ(seen, truth);
  EXPECT_GE(pages, 3);
  EXPECT_EQ(ids(*a, "room").size(), truth.size()) << "in one read, of several pages of Redis'";
}

TEST_F(RedisBrokerTest, RefusesACursorThatNoPageHasGiven) {
  auto a = node();
  for (const char* cursor : {"x", "h", "h.", "h.x", ".5", "0123456789abcdef.", "h.-1",
                             "0123456789abcdeg.1", "h.99999999999999999999", "h.1.2"}) {
    const auto page = a->presence("room", 10, cursor);
    ASSERT_FALSE(page.ok()) << cursor;
    EXPECT_TRUE(page.error().is(errors::kInvalidRequest));
  }
  EXPECT_TRUE(a->presence("room", 10, "h.17").ok());
  EXPECT_TRUE(a->presence("room", 10, "0123456789abcdef.18446744073709551615").ok());
}

TEST_F(RedisBrokerTest, LimitsConnectionsInTheWholeCluster) {
  TestNode::Options options;
  options.urls = {redis_.url()};
  options.limits = {2, 3};
  TestNode a(*actors_, options);
  TestNode b(*actors_, options);
  ASSERT_TRUE(a.wait_ready() && b.wait_ready());
  EXPECT_TRUE(a.admit(member("1", "ada")).ok());
  EXPECT_TRUE(b.admit(member("2", "ada")).ok());
  const Status full = a.admit(member("3", "ada"));
  ASSERT_FALSE(full.ok());
  EXPECT_TRUE(full.error().is(errors::kTooManyConnections));
  EXPECT_TRUE(wait([&] { return b.admit(member("4", "bob")).ok(); }))
      << "what was refused counts for nothing, as soon as Redis has heard of it";
  EXPECT_FALSE(a.admit(member("5", "eve")).ok()) << "the project's limit";
  a.broker().dismiss(member("1", "ada"));
  EXPECT_TRUE(wait([&] { return b.admit(member("6", "eve")).ok(); }))
      << "as above: Redis has to hear of the refusal and of the dismissal";
}

TEST_F(RedisBrokerTest, RevokingReachesAllNodes) {
  auto a = node();
  auto b = node();
  b->closes_each = 5;
  Revocation revocation;
  revocation.project = "p";
  revocation.value = "jti";
  revocation.keep_until = std::time(nullptr) + 3'600;
  const auto report = a->revoke(revocation);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(report->closed, 6u);
  EXPECT_EQ(report->nodes, 2u);
  EXPECT_EQ(report->unreached, 0u);
  EXPECT_EQ(b->revoked(), std::vector<std::string>{"jti"});
  // A node that comes later knows it, too.
  auto c = node();
  EXPECT_TRUE(wait([&] { return c->revoked() == std::vector<std::string>{"jti"}; }));
}

TEST_F(RedisBrokerTest, ChannelsAreSpreadOverThePrimaries) {
  test::RedisServer second, third;
  TestNode::Options options;
  options.urls = {redis_.url(), second.url(), third.url()};
  TestNode a(*actors_, options);
  options.urls = {third.url(), redis_.url(), second.url()};
  TestNode b(*actors_, options);
  ASSERT_TRUE(a.wait_ready() && b.wait_ready());
  for (int i = 0; i < 128; ++i) {
    const std::string room = "room" + std::to_string(i);
    ASSERT_TRUE(a.join(room, "a").ok());
    ASSERT_EQ(b.publish(room, {std::to_string(i)})->delivered, 1u);
  }
  for (int i = 0; i < 128; ++i)
    ASSERT_TRUE(a.wait("room" + std::to_string(i), [&](const auto& s) {
      return s.payloads == std::vector<std::string>{std::to_string(i)};
    }));
  for (const test::RedisServer* server : {&redis_, &second, &third}) {
    std::istringstream keys(server->cli({"KEYS", "rm:rt:s:*"}));
    int channels = 0;
    for (std::string key; keys >> key;) ++channels;
    EXPECT_NEAR(channels, 128 / 3.0, 1) << server->url();
  }
}

TEST_F(RedisBrokerTest, LeavesNothingBehind) {
  {
    TestNode::Options options;
    options.urls = {redis_.url()};
    options.limits = {100, 1'000};
    options.rules = {"kept* history=10"};
    TestNode a(*actors_, options);
    TestNode b(*actors_, options);
    a.leaves_at_end = b.leaves_at_end = false;
    ASSERT_TRUE(a.wait_ready() && b.wait_ready());
    for (int i = 0; i < 60; ++i) {
      TestNode& n = i % 2 ? a : b;
      const std::string room = (i % 3 ? "room" : "kept") + std::to_string(i % 10);
      const std::string id = std::to_string(i);
      ASSERT_TRUE(n.admit(member(id, "ada")).ok());
      ASSERT_TRUE(n.join(room, id, "ada").ok());
      ASSERT_TRUE(n.publish(room, {"1"}).ok());
      if (i % 7 == 0) continue;  // stays until the node ends
      n.leave(room, id);
      n.broker().dismiss(member(id, "ada"));
    }
  }
  std::istringstream keys(redis_.cli({"KEYS", "rm:rt:*"}));
  for (std::string key; keys >> key;) {
    if (key == "rm:rt:gen") continue;
    EXPECT_NE(std::stoll(redis_.cli({"PTTL", key})), -1) << key << " stays for good";
    const bool expected =
        key.starts_with("rm:rt:s:") || key.starts_with("rm:rt:h:") || key == "rm:rt:sweeper";
    EXPECT_TRUE(expected) << key;
  }
}

}  // namespace
}  // namespace raymesh::realtime
