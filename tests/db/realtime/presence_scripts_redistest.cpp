// Members, leases, sweeping, handover, admission and revocation.
#include <set>

#include "tests/db/realtime/script_harness.hpp"

namespace raymesh::realtime {
namespace {

using namespace std::chrono_literals;

class PresenceScriptsTest : public ScriptTest {
 protected:
  int64_t watch(const std::string& node, bool wanted = true) {
    return run(scripts::watch(), kChannel, node, wanted ? 1 : 0).integer;
  }
  int64_t admit(const std::string& node, int limit) {
    return run(scripts::admit(), "identity:p/ada", node, limit).integer;
  }
};

TEST_F(PresenceScriptsTest, MembersEnterAndLeave) {
  const std::string a = node();
  const std::string b = node();
  EXPECT_EQ(enter(a, "1", "ada"), "1");
  EXPECT_EQ(enter(b, "2", "ada"), "2");
  EXPECT_EQ(enter(b, "3", "bob"), "3");
  EXPECT_EQ(enter(b, "4"), "4");
  EXPECT_EQ(enter(b, "4"), "4") << "again";
  Page page = presence();
  EXPECT_EQ(page.count, 4);
  EXPECT_EQ(page.identities, 2);
  EXPECT_EQ(std::set<std::string>(page.members.begin(), page.members.end()),
            (std::set<std::string>{"1", "2", "3", "4"}));
  EXPECT_EQ(page.next.node, "");
  EXPECT_EQ(leave(a, "1"), 1);
  EXPECT_EQ(leave(a, "1"), 0) << "again";
  EXPECT_EQ(presence().identities, 2);
  EXPECT_EQ(leave(b, "2"), 1);
  EXPECT_EQ(leave(b, "3"), 1);
  EXPECT_EQ(presence().identities, 0);
  EXPECT_EQ(presence().count, 1);
}

TEST_F(PresenceScriptsTest, WithoutALeaseNobodyEnters) {
  const std::string a = node(1);
  ASSERT_TRUE(wait([&] { return redis_.cli({"EXISTS", "rm:rt:lease:" + a}) == "0"; }, 5s));
  EXPECT_EQ(enter(a, "1"), std::to_string(scripts::kNoLease));
  EXPECT_EQ(watch(a), scripts::kNoLease);
  EXPECT_EQ(admit(a, 10), scripts::kNoLease);
  EXPECT_EQ(run(scripts::renew(), 1'000, a).items.at(1).integer, 0) << "it does not rise again";
}

TEST_F(PresenceScriptsTest, TellsWhoeverWatches) {
  TopicLog log(redis_, "rm:rt:t:p/room");
  const std::string a = node();
  enter(a, "early");
  EXPECT_EQ(watch(a), 1);
  enter(a, "1", "ada");
  enter(a, "1", "ada");
  leave(a, "1");
  EXPECT_EQ(watch(a, false), 1);
  enter(a, "late");
  publish({"end"});
  EXPECT_EQ(log.take(3), (std::vector<std::string>{"join 1", "leave 1", "messages 1:end"}));
}

TEST_F(PresenceScriptsTest, MembersOfADeadNodeAreGoneAtOnceAndSweptInParts) {
  const std::string a = node();
  const std::string b = node();
  for (int i = 0; i < 450; ++i)
    enter(a, "a" + std::to_string(i), "identity" + std::to_string(i % 100));
  enter(b, "b", "identity0");
  watch(b);
  TopicLog log(redis_, "rm:rt:t:p/room");
  end_lease(a);
  Page page = presence();
  EXPECT_EQ(page.count, 1);
  EXPECT_EQ(page.members, std::vector<std::string>{"b"});
  const auto first = integers(run(scripts::sweep(), "me", 900, 200, 60'000));
  EXPECT_EQ(first[1], 1);
  EXPECT_LE(first[0], 200);
  EXPECT_EQ(integers(run(scripts::sweep(), "other", 900, 200, 60'000)),
            (std::vector<int64_t>{-1, 0}))
      << "one at a time";
  EXPECT_LE(sweep(), 4);
  const auto left = log.take(450);
  EXPECT_EQ(std::set<std::string>(left.begin(), left.end()).size(), 450u);
  EXPECT_EQ(presence().identities, 1);
  EXPECT_EQ(keys().find(a), std::string::npos) << keys();
}

TEST_F(PresenceScriptsTest, ASweepOfTheLastMembersLetsTheStateExpire) {
  const std::string a = node();
  publish({"1"});
  enter(a, "1", "ada");
  watch(a);
  admit(a, 10);
  end_lease(a);
  sweep();
  EXPECT_GT(std::stoll(redis_.cli({"PTTL", "rm:rt:s:p/room"})), 0);
  redis_.cli({"DEL", "rm:rt:s:p/room", "rm:rt:gen", "rm:rt:sweeper"});
  EXPECT_EQ(keys(), "");
}

TEST_F(PresenceScriptsTest, ANewIncarnationTakesItsMembersOverInSilence) {
  const std::string before = node();
  const std::string after = node();
  enter(before, "1", "ada");
  enter(before, "ghost", "bob");
  watch(after);
  TopicLog log(redis_, "rm:rt:t:p/room");
  EXPECT_EQ(enter(after, "1", "ada", "", true), "1");
  EXPECT_EQ(presence().count, 2);
  EXPECT_EQ(presence().identities, 2);
  end_lease(before);
  EXPECT_EQ(presence().count, 1);
  sweep();
  EXPECT_EQ(presence().identities, 1);
  EXPECT_EQ(log.take(1), std::vector<std::string>{"leave ghost"});
  // A leave finds the member where it still is.
  const std::string third = node();
  EXPECT_EQ(leave(third, "1", "", 0, after), 1);
  EXPECT_EQ(presence().count, 0);
}

TEST_F(PresenceScriptsTest, WhoWasLeftTwoIncarnationsBehindIsTakenOverInSilenceToo) {
  const std::string first = node();
  const std::string second = node();
  const std::string third = node();
  enter(first, "1", "ada");
  enter(first, "2", "ada");
  watch(third);
  TopicLog log(redis_, "rm:rt:t:p/room");
  // Only one of them has come to the second when that is lost, too.
  EXPECT_EQ(enter(second, "1", "ada", "", true), "1");
  end_lease(first);
  EXPECT_EQ(enter(third, "1", "ada", "", true), "1");
  EXPECT_EQ(enter(third, "2", "ada", "", true), "2");
  end_lease(second);
  sweep();
  EXPECT_EQ(presence().count, 2);
  EXPECT_EQ(presence().identities, 1);
  publish({"end"});
  EXPECT_EQ(log.take(1), std::vector<std::string>{"messages 1:end"}) << "nobody joined or left";
  leave(third, "1");
  leave(third, "2");
  EXPECT_EQ(presence().identities, 0);
}

TEST_F(PresenceScriptsTest, AHandedOverMemberStaysUntilItsClientIsBack) {
  const std::string a = node();
  const std::string b = node();
  enter(a, "old", "ada", "jti");
  watch(b);
  TopicLog log(redis_, "rm:rt:t:p/room");
  EXPECT_EQ(leave(a, "old", "jti", 60'000), 1);
  Page page = presence();
  EXPECT_EQ(page.count, 1);
  EXPECT_EQ(page.identities, 1);
  EXPECT_EQ(page.members, std::vector<std::string>{"old"});
  EXPECT_EQ(publish({"x"}).delivered, 0);
  EXPECT_EQ(enter(b, "other", "bob", "another jti"), "other");
  EXPECT_EQ(presence().count, 2);
  EXPECT_EQ(enter(b, "new", "ada", "jti"), "old") << "under the id that the others know";
  page = presence();
  EXPECT_EQ(page.count, 2);
  EXPECT_EQ(page.identities, 2);
  sweep();
  publish({"end"});
  EXPECT_EQ(log.take(3),
            (std::vector<std::string>{"messages 1:x", "join other", "messages 2:end"}));
  EXPECT_EQ(leave(b, "new"), 0);
  EXPECT_EQ(leave(b, "old"), 1);
  EXPECT_EQ(log.take(1), std::vector<std::string>{"leave old"});
  EXPECT_EQ(presence().identities, 1);
  EXPECT_EQ(redis_.cli({"EXISTS", "rm:rt:d:p/room", "rm:rt:handovers"}), "0");
}

TEST_F(PresenceScriptsTest, AHandoverThatNobodyTakesEnds) {
  const std::string a = node();
  enter(a, "1", "ada", "jti");
  enter(a, "2", "ada", "jti");
  enter(a, "3", "ada", "jti");
  watch(a);
  TopicLog log(redis_, "rm:rt:t:p/room");
  leave(a, "1", "jti", 20);
  leave(a, "2", "jti", 20);
  leave(a, "3", "jti", 60'000);
  ASSERT_TRUE(wait([&] { return sweep(), presence().count == 1; }, 5s));
  EXPECT_EQ(presence().members, std::vector<std::string>{"3"});
  EXPECT_EQ(presence().identities, 1);
  auto left = log.take(2);
  std::sort(left.begin(), left.end());
  EXPECT_EQ(left, (std::vector<std::string>{"leave 1", "leave 2"}));
  EXPECT_EQ(enter(a, "back", "ada", "jti"), "3") << "whichever place is left";
  EXPECT_EQ(presence().members, std::vector<std::string>{"3"});
}

TEST_F(PresenceScriptsTest, PagesGoThroughAllMembers) {
  std::set<std::string> truth;
  for (int n = 0; n < 3; ++n) {
    const std::string a = node();
    // One hash of the small kind, two of the large.
    const int members = n == 0 ? 20 : 700;
    for (int i = 0; i < members; ++i) {
      const std::string id = std::to_string(n) + "-" + std::to_string(i);
      enter(a, id, id);
      truth.insert(id);
    }
    enter(a, "handed" + std::to_string(n), "", "jti" + std::to_string(n));
    leave(a, "handed" + std::to_string(n), "jti" + std::to_string(n), 60'000);
    truth.insert("handed" + std::to_string(n));
  }
  std::set<std::string> seen;
  PresenceCursor cursor;
  int pages = 0;
  do {
    const Page page = presence(100, cursor);
    EXPECT_EQ(page.count, static_cast<int64_t>(truth.size()));
    EXPECT_LE(page.members.size(), 250u);
    seen.insert(page.members.begin(), page.members.end());
    cursor = page.next;
    ASSERT_LT(++pages, 40);
  } while (!cursor.node.empty());
  EXPECT_EQ(seen, truth);
}

TEST_F(PresenceScriptsTest, APageGoesOnWhenItsNodeHasDied) {
  std::vector<std::string> nodes = {node(), node()};
  std::sort(nodes.begin(), nodes.end());
  for (int i = 0; i < 700; ++i) enter(nodes[0], "0-" + std::to_string(i));
  enter(nodes[1], "last");
  const Page first = presence(10);
  EXPECT_EQ(first.next.node, nodes[0]);
  end_lease(nodes[0]);
  const Page second = presence(10, first.next);
  EXPECT_EQ(second.members, std::vector<std::string>{"last"});
  EXPECT_EQ(second.next.node, "");
}

TEST_F(PresenceScriptsTest, AHundredThousandMembersAreCountedAtOnce) {
  const std::string a = node();
  // Through a script of the test's own: as enter() leaves them. In parts, since the client gives up
  // on a Redis that a script keeps busy.
  static const redis::Script fill(R"(
for n = ARGV[2] + 1, ARGV[2] + 5000 do
  redis.call('HSET', 'rm:rt:m:' .. ARGV[1] .. ':p/room', 'id' .. n, '5:id' .. string.format('%05d', n % 90000) .. '{"id":"' .. n .. '"}')
  redis.call('HINCRBY', 'rm:rt:i:p/room', 'identity' .. n % 90000, 1)
end
redis.call('SADD', 'rm:rt:n:p/room', ARGV[1])
return 1)");
  for (int n = 0; n < 100'000; n += 5'000) run(fill, a, n);
  publish({"x"});
  const auto before = std::chrono::steady_clock::now();
  for (int i = 0; i < 200; ++i) {
    const Page page = presence(100);
    ASSERT_EQ(page.count, 100'000);
    ASSERT_EQ(page.identities, 90'000);
    ASSERT_LE(page.members.size(), 200u);
    ASSERT_EQ(publish({"x"}).delivered, 100'000);
  }
  const auto each = (std::chrono::steady_clock::now() - before) / 400;
  RecordProperty("microseconds", static_cast<int>(each / 1us));
  EXPECT_LT(each, 3ms);
}

TEST_F(PresenceScriptsTest, AdmitsUpToTheLimitInTheWholeCluster) {
  const std::string a = node();
  const std::string b = node();
  EXPECT_EQ(admit(a, 3), 1);
  EXPECT_EQ(admit(a, 3), 1);
  EXPECT_EQ(admit(b, 3), 1);
  EXPECT_EQ(admit(b, 3), 0);
  EXPECT_EQ(admit(a, 3), 0);
  run(scripts::dismiss(), "identity:p/ada", b);
  EXPECT_EQ(admit(a, 3), 1);
  EXPECT_EQ(admit(b, 3), 0);
  end_lease(a);
  EXPECT_EQ(admit(b, 3), 1) << "those of a dead node do not count";
  sweep();
  EXPECT_EQ(redis_.cli({"HLEN", "rm:rt:a:identity:p/ada"}), "1");
  const std::string again = node();
  EXPECT_EQ(run(scripts::recount(), again, "identity:p/ada", 2, "project:p", 5).integer, 1);
  EXPECT_EQ(admit(b, 3), 0);
  EXPECT_EQ(redis_.cli({"HGET", "rm:rt:a:project:p", again}), "5");
  run(scripts::dismiss(), "identity:p/ada", b);
  EXPECT_EQ(redis_.cli({"HEXISTS", "rm:rt:a:identity:p/ada", b}), "0");
}

TEST_F(PresenceScriptsTest, RevocationsAreKeptWhileTheyAreNeeded) {
  const std::string a = node();
  TopicLog control(redis_, "rm:rt:control");
  const int64_t now = std::stoll(redis_.cli({"TIME"}));
  redis::Reply reply = run(scripts::revoke(), "one", now + 100, 2, "tell");
  ASSERT_EQ(reply.items.size(), 2u);
  EXPECT_EQ(reply.items[1].text, "node-" + a);
  EXPECT_EQ(control.take(1).size(), 1u);
  redis_.cli({"ZADD", "rm:rt:revoked", "1", "expired"});
  EXPECT_EQ(run(scripts::revoke(), "two", now + 50, 2, "tell").items[0].integer, 1);
  EXPECT_EQ(redis_.cli({"ZRANGE", "rm:rt:revoked", "0", "-1"}), "two\none");
  EXPECT_EQ(run(scripts::revoke(), "three", now + 50, 2, "tell").items[0].integer, 0);
}

}  // namespace
}  // namespace raymesh::realtime
