// Publishing, positions and history; what a restart of Redis means for them.
#include "tests/db/realtime/script_harness.hpp"

namespace raymesh::realtime {
namespace {

using namespace std::chrono_literals;

class MessageScriptsTest : public ScriptTest {
 protected:
  MessageScriptsTest() = default;
  explicit MessageScriptsTest(std::vector<std::string> options) : ScriptTest(std::move(options)) {}

  std::pair<std::string, int64_t> position(uint64_t proposed) {
    const redis::Reply reply =
        run(scripts::position(), kChannel, epoch_text(proposed), 60'000, "", "", ring_, home_);
    return {reply.items.at(0).text, reply.items.at(1).integer};
  }
  int64_t ttl(const std::string& key) { return std::stoll(redis_.cli({"PTTL", key})); }
};

TEST_F(MessageScriptsTest, GivesABatchItsPlaceAndSendsItAsOneMessage) {
  TopicLog log(redis_, "rm:rt:t:p/room");
  const Sent first = publish({"1"});
  EXPECT_EQ(first.epoch, epoch_text(kEpoch));
  EXPECT_EQ(first.last, 1);
  EXPECT_EQ(publish({"2", "\"three\"", "4"}, {}, kOtherEpoch).last, 4);
  EXPECT_EQ(log.take(2), (std::vector<std::string>{"messages 1:1", "messages 2:2,\"three\",4"}));
  EXPECT_EQ(position(kOtherEpoch), (std::pair<std::string, int64_t>(epoch_text(kEpoch), 4)));
}

TEST_F(MessageScriptsTest, APositionBeginsAnEpochAndKeepsIt) {
  EXPECT_EQ(position(kEpoch).second, 0);
  EXPECT_EQ(publish({"1"}, {}, kOtherEpoch).epoch, epoch_text(kEpoch));
}

TEST_F(MessageScriptsTest, RefusesAnOldRingAndGivesUpWhatIsOfBeforeTheChannelCameBack) {
  const History rule{.messages = 10};
  publish({"1"}, rule);
  ring_ = 1;
  EXPECT_EQ(publish({"2"}, rule, kOtherEpoch).last, 2) << "it has been here all the time";
  redis_.cli({"SET", "rm:rt:ring", "2"});
  const std::string body = encode_body(PublishBatch(), 7, 0);
  for (const redis::Reply& refused :
       {run(scripts::publish(), kChannel, epoch_text(kEpoch), 0, body, 1, 0, 0, 0, 60'000, 1, 0),
        run(scripts::position(), kChannel, epoch_text(kEpoch), 60'000, "", "", 1, 0),
        run(scripts::history(), kChannel, epoch_text(kEpoch), 60'000, "", 0, 1, 1, 1, 1, 0),
        run(scripts::presence(), kChannel, 10, "", "0", 1)}) {
    EXPECT_TRUE(refused.is_integer());
    EXPECT_EQ(refused.integer, scripts::kOldRing);
  }
  ring_ = 2;
  EXPECT_EQ(publish({"3"}, rule, kOtherEpoch).last, 3);
  ring_ = home_ = 3;  // and was elsewhere before that
  EXPECT_EQ(read_history(kEpoch, 0), "");
  const Sent anew = publish({"4"}, rule, kEpoch);
  EXPECT_EQ(anew.epoch, epoch_text(kOtherEpoch));
  EXPECT_EQ(anew.last, 1);
  ring_ = 4;
  EXPECT_EQ(publish({"5"}, rule, kEpoch).last, 2);
}

TEST_F(MessageScriptsTest, CountsMembersOfLiveNodesOnly) {
  const std::string a = node();
  const std::string b = node();
  const std::string c = node();
  enter(a, "1");
  enter(a, "2");
  enter(b, "3");
  EXPECT_EQ(publish({"x"}).delivered, 3);
  end_lease(b);
  EXPECT_EQ(publish({"x"}).delivered, 2) << "before anybody has swept";
  leave(a, "1");
  EXPECT_EQ(publish({"x"}).delivered, 1);
}

TEST_F(MessageScriptsTest, KeepsHistoryUpToItsNumber) {
  const History rule{.messages = 3};
  publish({"1", "2"}, rule);
  EXPECT_EQ(read_history(0, 0), "1=1 2=2");
  publish({"3", "4"}, rule);
  EXPECT_EQ(read_history(0, 0), "2=2 3=3 4=4");
  publish({"5", "6", "7", "8", "9"}, rule);
  EXPECT_EQ(read_history(0, 0), "7=7 8=8 9=9");
  EXPECT_EQ(read_history(kEpoch, 7), "8=8 9=9");
  EXPECT_EQ(read_history(kEpoch, 7, 1), "8=8");
  EXPECT_EQ(read_history(kEpoch, 9), "");
  EXPECT_EQ(read_history(kOtherEpoch, 8), "7=7 8=8 9=9") << "of another epoch: from the oldest";
}

TEST_F(MessageScriptsTest, KeepsHistoryUpToItsBytes) {
  const History rule{.messages = 1000, .bytes = 10};
  publish({"aaaa", "bbbb"}, rule);
  EXPECT_EQ(read_history(0, 0), "1=aaaa 2=bbbb");
  publish({"cccc"}, rule);
  EXPECT_EQ(read_history(0, 0), "2=bbbb 3=cccc");
  publish({"dddddddd"}, rule);
  EXPECT_EQ(read_history(0, 0), "4=dddddddd");
  publish({"eeeeeeeeeeeeeeee"}, rule);
  EXPECT_EQ(read_history(0, 0), "");
  publish({"ff"}, rule);
  EXPECT_EQ(read_history(0, 0), "6=ff");
}

TEST_F(MessageScriptsTest, HoldsManyBatchesToTheirBounds) {
  const History rule{.messages = 500, .bytes = 3'000};
  int64_t last = 0;
  for (int i = 0; i < 200; ++i) {
    std::vector<std::string> payloads;
    for (int k = 0; k < 1 + i % 7; ++k) payloads.push_back(std::string(1 + (i * k) % 40, 'x'));
    last = publish(payloads, rule).last;
  }
  size_t bytes = 0, count = 0;
  std::istringstream kept(read_history(0, 0));
  for (std::string item; kept >> item; ++count) bytes += item.size() - item.find('=') - 1;
  EXPECT_LE(bytes, 3'000u);
  EXPECT_GT(bytes, 2'900u);
  EXPECT_EQ(read_history(kEpoch, last - 1).substr(0, 4), std::to_string(last) + "=");
}

TEST_F(MessageScriptsTest, NeitherReturnsNorKeepsWhatIsTooOld) {
  History rule{.messages = 10, .ttl_ms = 100};
  publish({"old"}, rule);
  ASSERT_TRUE(wait([&] { return read_history(0, 0, 10, 1000, 100).empty(); }, 5s));
  ASSERT_TRUE(wait([&] { return redis_.cli({"EXISTS", "rm:rt:h:p/room"}) == "0"; }, 5s));
  // Not by the key's expiry alone.
  rule.ttl_ms = 2'000;
  publish({"old"}, rule);
  ASSERT_TRUE(wait(
      [&] {
        publish({"young"}, {.messages = 1000, .ttl_ms = 300});
        return read_history(0, 0).find("old") == std::string::npos;
      },
      5s));
}

TEST_F(MessageScriptsTest, CutsAPageThatIsTooLarge) {
  publish({"aaaa", "bbbb", "cccc"}, {.messages = 10});
  EXPECT_EQ(read_history(0, 0, 10, 9), "1=aaaa 2=bbbb cut");
  EXPECT_EQ(read_history(0, 0, 10, 1), "1=aaaa cut") << "one at least";
  EXPECT_EQ(read_history(kEpoch, 2, 10, 1), "3=cccc");
}

TEST_F(MessageScriptsTest, TheStateExpiresOnlyWithoutMembers) {
  publish({"1"});
  EXPECT_GT(ttl("rm:rt:s:p/room"), 50'000);
  const std::string a = node();
  enter(a, "1");
  EXPECT_EQ(ttl("rm:rt:s:p/room"), -1);
  publish({"1"});
  position(kEpoch);
  EXPECT_EQ(ttl("rm:rt:s:p/room"), -1);
  leave(a, "1");
  EXPECT_GT(ttl("rm:rt:s:p/room"), 50'000);
}

TEST_F(MessageScriptsTest, AFlushBeginsANewEpoch) {
  publish({"1", "2"}, {.messages = 10});
  redis_.cli({"FLUSHALL"});
  const Sent after = publish({"1"}, {.messages = 10}, kOtherEpoch);
  EXPECT_EQ(after.epoch, epoch_text(kOtherEpoch));
  EXPECT_EQ(after.last, 1);
}

class MessageScriptsAofTest : public MessageScriptsTest {
 protected:
  MessageScriptsAofTest()
      : MessageScriptsTest({"--appendonly", "yes", "--appendfsync", "always"}) {}
};

TEST_F(MessageScriptsAofTest, ARestartedRedisNeverGivesAnOffsetTwice) {
  const std::string generation = run(scripts::hello()).text;
  publish({"1", "2", "3"}, {.messages = 10});
  connect();
  EXPECT_EQ(run(scripts::hello()).text, generation) << "a new connection is no new life";
  EXPECT_EQ(publish({"4"}, {.messages = 10}, kOtherEpoch).epoch, epoch_text(kEpoch));

  redis_.kill();
  redis_.start();
  connect();
  EXPECT_NE(redis_.cli({"EXISTS", "rm:rt:s:p/room"}), "0") << "its data is there";
  const Sent after = publish({"5"}, {.messages = 10}, kOtherEpoch);
  EXPECT_NE(run(scripts::hello()).text, generation);
  EXPECT_EQ(after.epoch, epoch_text(kOtherEpoch));
  EXPECT_EQ(after.last, 1);
  EXPECT_EQ(read_history(kEpoch, 2), "1=5") << "what was kept of the old epoch is gone";
}

class MessageScriptsFullTest : public MessageScriptsTest {
 protected:
  MessageScriptsFullTest()
      : MessageScriptsTest({"--maxmemory", "6mb", "--maxmemory-policy", "noeviction"}) {}
};

TEST_F(MessageScriptsFullTest, AFullRedisRefusesAsAWholeButLetsMembersGo) {
  const std::string a = node();
  enter(a, "1", "ada");
  const std::string payload(60'000, 'x');
  Result<redis::Reply> refused = redis::Reply{};
  for (int i = 0; i < 1000 && refused.ok(); ++i) {
    PublishBatch batch;
    batch.add(payload);
    refused = try_run(scripts::publish(), kChannel, epoch_text(kEpoch), 1, encode_body(batch, 7, 0),
                      1, 1'000, 0, 60'000, 60'000, 0, 0);
  }
  ASSERT_FALSE(refused.ok());
  EXPECT_TRUE(refused.error().is(errors::kOverloaded)) << refused.error().message;
  // Clear of the edge, on which the query's own buffer decides.
  redis_.cli({"CONFIG", "SET", "maxmemory", "2mb"});
  const auto entered = try_run(scripts::enter(), kChannel, a, "", "2", "", "{}", "");
  ASSERT_FALSE(entered.ok());
  EXPECT_TRUE(entered.error().is(errors::kOverloaded));
  EXPECT_EQ(run(scripts::renew(), 60'000, a).items.at(1).integer, 1) << "leases go on";
  EXPECT_EQ(presence().count, 1);
  EXPECT_EQ(leave(a, "1"), 1);
  EXPECT_EQ(presence().count, 0);
  EXPECT_EQ(presence().identities, 0);
}

}  // namespace
}  // namespace raymesh::realtime
