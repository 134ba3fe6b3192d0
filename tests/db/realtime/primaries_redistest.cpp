// Redis primaries that come and go while nodes run: nothing is lost in silence, nobody stays
// behind.
#include <set>
#include <sstream>

#include "services/realtime/ring_admin.hpp"
#include "services/realtime/ring_record.hpp"
#include "tests/db/realtime/broker_harness.hpp"

namespace raymesh::realtime {
namespace {

using namespace std::chrono_literals;

class PrimariesTest : public BrokerTest {
 protected:
  static constexpr int kRooms = 64;

  static std::string room(int i) { return (i % 4 ? "room" : "kept") + std::to_string(i); }

  std::unique_ptr<TestNode> node_at(const std::vector<std::string>& urls) {
    TestNode::Options options;
    options.urls = urls;
    options.rules = {"kept* history=1000"};
    options.limits = limits_;
    auto out = std::make_unique<TestNode>(*actors_, std::move(options));
    EXPECT_TRUE(out->wait_ready());
    return out;
  }
  /// As the operator's command does, but to one primary only, as if it had been ended behind it.
  void set_ring(const test::RedisServer& at, const std::vector<std::string>& urls,
                bool told = true) {
    record_ = next_ring(record_, urls, {}).value();
    at.cli({"MSET", "rm:rt:ring", std::to_string(record_.version), "rm:rt:primaries",
            encode(record_)});
    if (told) at.cli({"SPUBLISH", "rm:rt:control", encode(RingMessage{record_.version})});
  }
  bool adopted(std::initializer_list<TestNode*> nodes) {
    return wait([&] {
      return std::all_of(nodes.begin(), nodes.end(), [&](TestNode* n) {
        return n->redis().stats().ring == record_.version && n->broker().ready().ok();
      });
    });
  }
  static void expect_served(TestNode& from, TestNode& to, const std::string& channel) {
    static int count = 0;
    const std::string payload = "9" + std::to_string(1'000'000 + ++count);
    ASSERT_TRUE(wait([&] { return from.publish(channel, {payload}).ok(); }));
    ASSERT_TRUE(to.wait(
        channel,
        [&](const auto& s) {
          return std::find(s.payloads.begin(), s.payloads.end(), payload) != s.payloads.end();
        },
        5s))
        << channel << " " << to.seen(channel).at.offset;
  }
  static std::string left_behind(const test::RedisServer& server) {
    static const std::set<std::string> kFence = {"rm:rt:gen", "rm:rt:ring", "rm:rt:primaries"};
    std::istringstream keys(server.cli({"KEYS", "rm:rt:*"}));
    std::string out;
    for (std::string key; keys >> key;)
      if (!kFence.contains(key) && server.cli({"PTTL", key}) == "-1") out += key + " ";
    return out;
  }

  ConnectionLimits limits_;
  RingRecord record_;
};

TEST_F(PrimariesTest, ARingGrowsAndShrinksUnderPublishing) {
  test::RedisServer second, third;
  record_ = first_ring({redis_.url()});
  auto a = node_at({redis_.url()});
  auto b = node_at({redis_.url()});
  for (int i = 0; i < kRooms; ++i) {
    ASSERT_TRUE(a->join(room(i), "a" + std::to_string(i)).ok());
    ASSERT_TRUE(b->join(room(i), "b" + std::to_string(i)).ok());
  }
  std::atomic<bool> stop{false};
  std::atomic<int> refused{0};
  std::mutex mutex;
  std::map<int, std::set<std::string>> published;
  std::vector<std::thread> publishers;
  for (int p = 0; p < 2; ++p)
    publishers.emplace_back([&, p] {
      TestNode& from = p == 0 ? *a : *b;
      for (int n = 0; !stop; ++n) {
        const int i = n % kRooms;
        const std::string payload = std::to_string(10'000'000 * (p + 1) + n);
        const auto answer = from.publish(room(i), {payload});
        if (!answer.ok()) {
          ++refused;
          continue;
        }
        const std::lock_guard lock(mutex);
        published[i].insert(payload);
      }
    });
  const std::vector<std::pair<const test::RedisServer*, std::vector<std::string>>> rings = {
      {&redis_, {redis_.url(), second.url()}},
      {&second, {redis_.url(), second.url(), third.url()}},
      {&redis_, {second.url(), third.url()}},
      {&third, {third.url()}}};
  std::vector<bool> ever(kRooms);
  for (const auto& [at, urls] : rings) {
    const RingView before(record_);
    std::vector<size_t> lost;
    for (int i = 0; i < kRooms; ++i) lost.push_back(a->seen(room(i)).lost.size());
    set_ring(*at, urls, record_.version % 2 == 0);
    ASSERT_TRUE(adopted({a.get(), b.get()})) << record_.version;
    const RingView now(record_);
    int moved = 0;
    for (int i = 0; i < kRooms; ++i) {
      const std::string key = "p/" + room(i);
      const bool moves = before.urls()[before.pick(key)] != now.urls()[now.pick(key)];
      moved += moves;
      ever[static_cast<size_t>(i)] = ever[static_cast<size_t>(i)] || moves;
      for (TestNode* n : {a.get(), b.get()}) {
        if (moves) {
          ASSERT_TRUE(n->wait(
              room(i), [&](const auto& s) { return s.lost.size() > lost[i]; }, 5s))
              << room(i) << " at version " << record_.version;
        } else {
          EXPECT_EQ(n->seen(room(i)).lost.size(), lost[i]) << room(i);
        }
      }
    }
    const double share = static_cast<double>(moved) / kRooms;
    const size_t most = std::max(before.urls().size(), now.urls().size());
    EXPECT_NEAR(share, 1.0 / static_cast<double>(most), 0.25) << record_.version;
    for (int i = 0; i < kRooms; ++i) {
      expect_served(*a, *b, room(i));
      expect_served(*b, *a, room(i));
      const std::vector<std::string> both = {"a" + std::to_string(i), "b" + std::to_string(i)};
      EXPECT_TRUE(wait([&] { return ids(*a, room(i)) == both; }, 5s)) << room(i);
      EXPECT_EQ(b->publish(room(i), {"1"})->delivered, 2u) << room(i);
    }
  }
  stop = true;
  for (std::thread& publisher : publishers) publisher.join();
  EXPECT_EQ(refused, 0);
  for (int i = 0; i < kRooms; ++i)
    for (TestNode* n : {a.get(), b.get()}) {
      expect_served(*a, *n, room(i));
      const auto seen = n->seen(room(i));
      EXPECT_EQ(seen.broken, "") << room(i);
      const std::set<std::string> got(seen.payloads.begin(), seen.payloads.end());
      const bool all =
          std::includes(got.begin(), got.end(), published[i].begin(), published[i].end());
      EXPECT_TRUE(all || !seen.lost.empty()) << room(i) << ": messages are missing in silence";
      EXPECT_TRUE(all || ever[static_cast<size_t>(i)]) << room(i) << " has never moved";
    }
  for (test::RedisServer* server : {&redis_, &second})
    EXPECT_TRUE(wait([&] { return left_behind(*server).empty(); })) << left_behind(*server);
  // A node that knows only a primary of before finds the others.
  auto late = node_at({redis_.url()});
  EXPECT_TRUE(adopted({late.get()}));
  ASSERT_TRUE(late->join(room(1), "late").ok());
  expect_served(*a, *late, room(1));
}

TEST_F(PrimariesTest, WhoeverKnowsAnOlderRingIsRefused) {
  test::RedisServer second;
  record_ = first_ring({redis_.url()});
  auto a = node_at({redis_.url()});
  // A message of the script's, with the ring of before.
  set_ring(redis_, {redis_.url(), second.url()}, false);
  const auto published = a->publish("room", {"1"});
  ASSERT_TRUE(published.ok()) << published.error().message;
  EXPECT_TRUE(adopted({a.get()})) << "it was refused, and repeated with the new ring";
  EXPECT_EQ(second.cli({"GET", "rm:rt:ring"}), "1") << "nodes bring it to all";
}

TEST_F(PrimariesTest, HandedOverMembersFollow) {
  test::RedisServer second;
  record_ = first_ring({redis_.url()});
  auto a = node_at({redis_.url()});
  auto b = node_at({redis_.url()});
  ASSERT_TRUE(a->join("room", "watcher").ok());
  ASSERT_TRUE(b->join("room", "1", "ada").ok());
  ASSERT_TRUE(a->wait(
      "room", [](const auto& s) { return !s.events.empty() && s.events.back() == "join 1"; }));
  b->leave("room", "1", 60s);
  b.reset();
  set_ring(redis_, {second.url()});
  ASSERT_TRUE(adopted({a.get()}));
  const std::vector<std::string> both = {"1", "watcher"};
  ASSERT_TRUE(wait([&] { return ids(*a, "room") == both; }));
  EXPECT_EQ(a->presence("room")->identities, 1u);
  auto c = node_at({second.url()});
  const auto joined = c->join("room", "again", "ada", std::nullopt, "1");
  ASSERT_TRUE(joined.ok());
  EXPECT_EQ(joined->member->id, "1");
  EXPECT_EQ(ids(*a, "room"), both);
  expect_served(*c, *a, "room");
  for (const std::string& event : a->seen("room").events) EXPECT_FALSE(event.starts_with("leave"));
  EXPECT_TRUE(wait([&] { return left_behind(redis_).empty(); })) << left_behind(redis_);
}

TEST_F(PrimariesTest, TheOperatorSetsTheRing) {
  test::RedisServer second, third;
  auto a = node_at({redis_.url()});
  RingAdmin admin({redis_.url()}, "");
  EXPECT_EQ(admin.newest()->version, 0u);
  auto changed = admin.set({redis_.url(), second.url()}, {});
  ASSERT_TRUE(changed.ok()) << changed.error().message;
  record_ = *changed;
  EXPECT_TRUE(adopted({a.get()}));
  EXPECT_EQ(RingAdmin({second.url()}, "").newest()->version, 1u);
  // From any of them; a primary that does not answer is no reason to begin.
  RingAdmin other({second.url()}, "");
  EXPECT_FALSE(other.set({redis_.url(), "unix:/nowhere/redis.sock"}, {}).ok());
  EXPECT_EQ(other.newest()->version, 1u);
  EXPECT_FALSE(other.set({redis_.url(), redis_.url()}, {}).ok());
  // One that is gone for good is not waited for.
  redis_.kill();
  EXPECT_FALSE(other.set({second.url(), third.url()}, {}).ok());
  changed = other.set({second.url(), third.url()}, {redis_.url()});
  ASSERT_TRUE(changed.ok()) << changed.error().message;
  record_ = *changed;
  EXPECT_TRUE(adopted({a.get()}));
  ASSERT_TRUE(a->join("room", "1").ok());
  expect_served(*a, *a, "room");
}

TEST_F(PrimariesTest, AdmissionAndRevocationsFollow) {
  test::RedisServer second;
  limits_ = {2, 0};
  record_ = first_ring({redis_.url()});
  auto a = node_at({redis_.url()});
  auto b = node_at({redis_.url()});
  auto member = [](const std::string& id) {
    auto out = std::make_shared<Member>();
    out->id = id;
    out->identity = "ada";
    out->project = "p";
    return out;
  };
  ASSERT_TRUE(a->admit(member("1")).ok());
  ASSERT_TRUE(b->admit(member("2")).ok());
  Revocation revocation;
  revocation.project = "p";
  revocation.value = "jti";
  revocation.keep_until = std::time(nullptr) + 3'600;
  ASSERT_TRUE(a->revoke(revocation).ok());
  set_ring(redis_, {second.url()});
  ASSERT_TRUE(adopted({a.get(), b.get()}));
  EXPECT_TRUE(wait([&] { return !a->admit(member("3")).ok(); }));
  a->broker().dismiss(member("1"));
  EXPECT_TRUE(wait([&] { return b->admit(member("4")).ok(); }));
  EXPECT_TRUE(wait([&] { return second.cli({"ZCARD", "rm:rt:revoked"}) == "1"; }));
  EXPECT_TRUE(wait([&] { return left_behind(redis_).empty(); })) << left_behind(redis_);
  auto late = node_at({second.url()});
  EXPECT_TRUE(wait([&] { return late->revoked() == std::vector<std::string>{"jti"}; }));
}

}  // namespace
}  // namespace raymesh::realtime
