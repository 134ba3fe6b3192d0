#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <thread>

#include "services/cache/probe.hpp"
#include "services/cache/scripts.hpp"
#include "services/cache/sessions.hpp"
#include "tests/db/cache/cache_harness.hpp"
#include "tests/support/io_thread.hpp"

namespace raymesh::cache {
namespace {

constexpr char kId[] = "018f0000-0000-7000-8000-000000000000";
constexpr char kRecord[] = "rs:018f0000-0000-7000-8000-000000000000";

class SessionsTest : public ::testing::Test {
 protected:
  static v1::PutSessionRequest write(uint64_t generation, uint64_t version,
                                     const std::string& owner = "one", bool raise = false) {
    v1::PutSessionRequest request;
    request.set_session_id(kId);
    request.set_generation(generation);
    request.set_version(version);
    request.set_owner(owner);
    request.set_raise(raise);
    request.set_state(std::string("\0state \xff ", 9) + owner + std::to_string(generation) + "." +
                      std::to_string(version));
    request.set_ttl_ms(60'000);
    return request;
  }
  // "stored 2" or "refused 2", or the code of a failure.
  std::string put(const v1::PutSessionRequest& request) {
    auto reply = cache_.call<v1::PutSessionReply>("PutSession", request);
    if (!reply.ok()) return std::string(reply.error().code());
    return (reply->stored() ? "stored " : "refused ") + std::to_string(reply->generation());
  }
  v1::SessionReply get() {
    v1::SessionRequest request;
    request.set_session_id(kId);
    return cache_.call<v1::SessionReply>("GetSession", request).value();
  }
  std::string end(uint64_t generation, const std::string& owner, uint64_t mark_ms) {
    v1::EndSessionRequest request;
    request.set_session_id(kId);
    request.set_generation(generation);
    request.set_owner(owner);
    request.set_mark_ms(mark_ms);
    auto reply = cache_.call<v1::BoolReply>("EndSession", request);
    if (!reply.ok()) return std::string(reply.error().code());
    return reply->value() ? "ended" : "not ended";
  }
  // How many were, or the code of a failure.
  std::string confirm(const std::string& owner, uint64_t generation,
                      const std::string& session = kId) {
    v1::ConfirmSessionsRequest request;
    request.set_owner(owner);
    auto& one = *request.add_sessions();
    one.set_session_id(session);
    one.set_generation(generation);
    auto reply = cache_.call<v1::CountReply>("ConfirmSessions", request);
    return reply.ok() ? std::to_string(reply->count()) : std::string(reply.error().code());
  }
  v1::LostSessionsReply lost(const std::string& owner, const std::vector<std::string>& after = {}) {
    v1::LostSessionsRequest request;
    request.set_owner(owner);
    for (const auto& position : after) request.add_after(position);
    return cache_.call<v1::LostSessionsReply>("LostSessions", request).value();
  }
  int64_t ttl(const std::string& key) { return std::stoll(cache_.state_redis.cli({"PTTL", key})); }

  CacheHarness cache_;
};

TEST_F(SessionsTest, WhatWasWrittenIsRead) {
  EXPECT_FALSE(get().found());
  const auto request = write(1, 1);
  EXPECT_EQ(put(request), "stored 1");
  const auto found = get();
  EXPECT_TRUE(found.found());
  EXPECT_EQ(found.generation(), 1u);
  EXPECT_EQ(found.version(), 1u);
  EXPECT_EQ(found.owner(), "one");
  EXPECT_EQ(found.state(), request.state());
  EXPECT_GT(ttl(kRecord), 50'000);
  EXPECT_LE(ttl(kRecord), 60'000);
}

TEST_F(SessionsTest, AGenerationIsRaisedOnceAndByOneOnly) {
  EXPECT_EQ(put(write(2, 1, "two", true)), "refused 0") << "there is nothing to be raised";
  ASSERT_EQ(put(write(1, 1)), "stored 1");
  EXPECT_EQ(put(write(3, 1, "two", true)), "refused 1");
  EXPECT_EQ(put(write(1, 1, "two", true)), "refused 1");
  EXPECT_EQ(put(write(2, 1, "two", true)), "stored 2");
  EXPECT_EQ(put(write(2, 1, "three", true)), "refused 2") << "the second of two loses";
  EXPECT_EQ(get().owner(), "two");
  EXPECT_EQ(put(write(3, 1, "three", true)), "stored 3");
}

TEST_F(SessionsTest, TheOwnerOfBeforeWritesNoMore) {
  ASSERT_EQ(put(write(1, 1)), "stored 1");
  ASSERT_EQ(put(write(2, 1, "two", true)), "stored 2");
  EXPECT_EQ(put(write(1, 2)), "refused 2");
  EXPECT_EQ(put(write(2, 2, "one")), "refused 2") << "nor under the generation of another";
  EXPECT_EQ(end(1, "one", 0), "not ended");
  EXPECT_EQ(end(2, "one", 0), "not ended");
  EXPECT_EQ(get().version(), 1u);
}

TEST_F(SessionsTest, AWriteThatComesLateChangesNothing) {
  ASSERT_EQ(put(write(1, 1)), "stored 1");
  ASSERT_EQ(put(write(1, 3)), "stored 1");
  EXPECT_EQ(put(write(1, 2)), "refused 1");
  EXPECT_EQ(get().version(), 3u);
}

TEST_F(SessionsTest, TheSameWriteTwiceIsAnsweredAlike) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(put(write(1, 1)), "stored 1");
  auto other = write(1, 1);
  other.set_state("something else");
  EXPECT_EQ(put(other), "refused 1");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(put(write(2, 1, "two", true)), "stored 2");
}

TEST_F(SessionsTest, AGenerationIsConfirmedByItsOwnerUntilTheNextRaise) {
  ASSERT_EQ(put(write(1, 1)), "stored 1");
  EXPECT_FALSE(get().confirmed());
  EXPECT_EQ(confirm("two", 1), "0");
  EXPECT_EQ(confirm("one", 2), "0");
  EXPECT_FALSE(get().confirmed());
  for (int i = 0; i < 2; ++i) EXPECT_EQ(confirm("one", 1), "1");
  EXPECT_TRUE(get().confirmed());
  EXPECT_EQ(get().state(), write(1, 1).state());
  ASSERT_EQ(put(write(1, 2)), "stored 1");
  EXPECT_TRUE(get().confirmed()) << "a write that was under way takes nothing back";
  ASSERT_EQ(put(write(2, 1, "two", true)), "stored 2");
  EXPECT_FALSE(get().confirmed());
  EXPECT_EQ(confirm("one", 1), "0") << "of the generation before: too late";
  EXPECT_FALSE(get().confirmed());
  EXPECT_EQ(confirm("two", 2), "1");
  EXPECT_EQ(confirm("one", 1), "0");
  EXPECT_TRUE(get().confirmed()) << "a late one undoes nothing";
}

TEST_F(SessionsTest, AConfirmedGenerationIsNotRaisedByTheSecretBefore) {
  auto by_previous = [](uint64_t generation, const std::string& owner) {
    auto request = write(generation, 1, owner, true);
    request.set_by_previous(true);
    return request;
  };
  ASSERT_EQ(put(write(1, 1)), "stored 1");
  EXPECT_EQ(put(by_previous(2, "two")), "stored 2");
  EXPECT_EQ(confirm("two", 2), "1");
  EXPECT_EQ(put(by_previous(2, "two")), "stored 2") << "the same write once more";
  EXPECT_EQ(put(by_previous(3, "three")), "refused 2");
  EXPECT_EQ(put(write(3, 1, "three", true)), "stored 3");
  EXPECT_EQ(put(by_previous(4, "four")), "stored 4");
}

TEST_F(SessionsTest, AConfirmationMakesNoRecordAndChangesNoMarkAndNoEnd) {
  EXPECT_EQ(confirm("one", 1), "0");
  EXPECT_EQ(cache_.state_redis.cli({"DBSIZE"}), "0");
  ASSERT_EQ(put(write(1, 1)), "stored 1");
  EXPECT_EQ(confirm("one", 1), "1");
  EXPECT_GT(ttl(kRecord), 50'000);
  EXPECT_EQ(end(1, "one", 60'000), "ended");
  EXPECT_EQ(confirm("one", 1), "0");
  EXPECT_EQ(cache_.state_redis.cli({"HLEN", kRecord}), "1");
  EXPECT_GT(ttl(kRecord), 50'000);
}

TEST_F(SessionsTest, WhoLivesWritesAgainWhatWasLost) {
  ASSERT_EQ(put(write(1, 1)), "stored 1");
  ASSERT_EQ(put(write(2, 1, "two", true)), "stored 2");
  cache_.state_redis.cli({"FLUSHALL"});
  EXPECT_EQ(put(write(1, 2)), "stored 1") << "which of the two still lives is not known here";
  EXPECT_EQ(put(write(2, 2, "two")), "stored 2") << "but the newer one wins";
  EXPECT_EQ(put(write(1, 3)), "refused 2");
}

TEST_F(SessionsTest, WhatHasEndedStaysEndedForTheOwnersOfBefore) {
  ASSERT_EQ(put(write(1, 1)), "stored 1");
  ASSERT_EQ(put(write(2, 1, "two", true)), "stored 2");
  EXPECT_EQ(end(2, "two", 60'000), "ended");
  EXPECT_FALSE(get().found());
  EXPECT_EQ(put(write(1, 2)).substr(0, 7), "refused");
  EXPECT_EQ(put(write(3, 1, "three", true)).substr(0, 7), "refused");
  EXPECT_GT(ttl(kRecord), 50'000);
  EXPECT_EQ(cache_.state_redis.cli({"HEXISTS", kRecord, "s"}), "0");
}

TEST_F(SessionsTest, WithoutOwnersOfBeforeNothingIsLeft) {
  ASSERT_EQ(put(write(1, 1)), "stored 1");
  EXPECT_EQ(end(1, "one", 0), "ended");
  EXPECT_EQ(cache_.state_redis.cli({"EXISTS", kRecord}), "0");
  EXPECT_EQ(end(1, "one", 0), "not ended");
}

TEST_F(SessionsTest, AnEndThatOvertakesTheFirstWriteHoldsAgainstIt) {
  EXPECT_EQ(end(1, "one", 60'000), "not ended");
  EXPECT_EQ(put(write(1, 1)).substr(0, 7), "refused");
  EXPECT_FALSE(get().found());
  EXPECT_GT(ttl(kRecord), 50'000);
}

TEST_F(SessionsTest, EveryRecordEndsByItself) {
  auto request = write(1, 1);
  request.set_ttl_ms(50);
  ASSERT_EQ(put(request), "stored 1");
  EXPECT_TRUE(eventually([&] { return !get().found(); }));
  EXPECT_EQ(cache_.state_redis.cli({"DBSIZE"}), "0");
}

TEST_F(SessionsTest, TheLoserIsToldOnceForEachPlaceItReadsFrom) {
  EXPECT_EQ(lost("one").lost_size(), 0);
  ASSERT_EQ(put(write(1, 1)), "stored 1");
  auto raise = write(2, 1, "two", true);
  raise.set_lost_by("one");
  ASSERT_EQ(put(raise), "stored 2");
  ASSERT_EQ(put(raise), "stored 2");
  auto refused = write(2, 1, "three", true);
  refused.set_lost_by("one");
  ASSERT_EQ(put(refused), "refused 2");
  const auto first = lost("one");
  ASSERT_EQ(first.lost_size(), 1);
  EXPECT_EQ(first.lost(0).session_id(), kId);
  EXPECT_EQ(first.lost(0).generation(), 2u);
  EXPECT_TRUE(first.complete());
  EXPECT_FALSE(first.more());
  // An answer that was lost is given again.
  EXPECT_EQ(lost("one").lost_size(), 1);
  const std::vector<std::string> after(first.after().begin(), first.after().end());
  const auto second = lost("one", after);
  EXPECT_EQ(second.lost_size(), 0);
  EXPECT_EQ(std::vector<std::string>(second.after().begin(), second.after().end()), after);
  EXPECT_EQ(lost("two").lost_size(), 0);
  EXPECT_GT(ttl("rs-lost:one"), 200'000);
}

TEST_F(SessionsTest, ManyThatWereLostComeInPieces) {
  for (int i = 0; i < 1'200; i += 100)
    cache_.state_redis.cli({"EVAL",
                            "for i = ARGV[1], ARGV[1] + 99 do redis.call('XADD', 'rs-lost:one', "
                            "'*', 'i', 's' .. i, 'g', '2') end",
                            "0", std::to_string(i)});
  std::vector<std::string> after;
  int told = 0;
  for (bool more = true; more;) {
    const auto reply = lost("one", after);
    for (const auto& one : reply.lost()) EXPECT_EQ(one.session_id(), "s" + std::to_string(told++));
    after.assign(reply.after().begin(), reply.after().end());
    more = reply.more();
  }
  EXPECT_EQ(told, 1'200);
}

TEST_F(SessionsTest, RefusesWhatIsOutOfBounds) {
  auto refused = [&](auto change) {
    auto request = write(1, 1);
    change(request);
    return put(request) == "invalid_request";
  };
  EXPECT_TRUE(refused([](auto& r) { r.set_session_id("lease:x"); }));
  EXPECT_TRUE(refused([](auto& r) { r.set_generation(0); }));
  EXPECT_TRUE(refused([](auto& r) { r.set_generation(uint64_t{1} << 53); }));
  EXPECT_TRUE(refused([](auto& r) { r.set_version(0); }));
  EXPECT_TRUE(refused([](auto& r) { r.set_ttl_ms(0); }));
  EXPECT_TRUE(refused([](auto& r) { r.set_ttl_ms(Sessions::kMaxTtlMs + 1); }));
  EXPECT_TRUE(refused([](auto& r) { r.set_state(""); }));
  EXPECT_TRUE(refused([](auto& r) { r.set_state(std::string(Sessions::kMaxState + 1, 'x')); }));
  EXPECT_TRUE(refused([](auto& r) { r.set_owner(""); }));
  EXPECT_TRUE(refused([](auto& r) { r.set_owner("a b"); }));
  EXPECT_TRUE(refused([](auto& r) { r.set_lost_by("a:b"); }));
  EXPECT_EQ(confirm("a b", 1), "invalid_request");
  EXPECT_EQ(confirm("one", 1, "lease:x"), "invalid_request");
  v1::ConfirmSessionsRequest many;
  many.set_owner("one");
  for (int i = 0; i < Sessions::kMostConfirmed; ++i) many.add_sessions()->set_session_id(kId);
  EXPECT_EQ(cache_.call<v1::CountReply>("ConfirmSessions", many)->count(), 0u);
  many.add_sessions()->set_session_id(kId);
  EXPECT_EQ(code_of(cache_.call<v1::CountReply>("ConfirmSessions", many)), "invalid_request");
  auto largest = write(1, 1);
  largest.set_state(std::string(Sessions::kMaxState, 'x'));
  largest.set_ttl_ms(Sessions::kMaxTtlMs);
  EXPECT_EQ(put(largest), "stored 1");
}

TEST_F(SessionsTest, OfManyWhoRaiseAtOnceOneDoes) {
  ASSERT_EQ(put(write(1, 1)), "stored 1");
  std::atomic<int> raised{0};
  std::vector<std::thread> gateways;
  for (int i = 0; i < 8; ++i)
    gateways.emplace_back([&, i] {
      if (put(write(2, 1, "g" + std::to_string(i), true)) == "stored 2") ++raised;
    });
  for (auto& gateway : gateways) gateway.join();
  EXPECT_EQ(raised, 1);
}

TEST_F(SessionsTest, AnswersUnavailableWhileRedisIsAway) {
  ASSERT_EQ(put(write(1, 1)), "stored 1");
  cache_.state_redis.stop();
  EXPECT_TRUE(eventually([&] { return put(write(1, 2)) == "unavailable"; }));
  EXPECT_EQ(end(1, "one", 0), "unavailable");
  EXPECT_EQ(confirm("one", 1), "unavailable");
  const auto reply = lost("one", {"5-0"});
  EXPECT_FALSE(reply.complete());
  ASSERT_EQ(reply.after_size(), 1);
  EXPECT_EQ(reply.after(0), "5-0") << "it goes on where it was";
  cache_.state_redis.start();
  EXPECT_TRUE(eventually([&] { return put(write(1, 3)) == "stored 1"; }));
}

// Sessions over two primaries, without the service around them.
TEST(SessionsOnTwoPrimariesTest, EachIsOnItsOwnAndTheLoserHearsOfAll) {
  test::RedisServer servers[2];
  test::IoThread io;
  auto registry = metrics::Registry::create();
  Probe probe(*registry);
  redis::ClientConfig config;
  config.scripts = {&put_session_script(), &confirm_sessions_script(), &end_session_script()};
  auto store =
      redis::Store::open(io.context(), {servers[0].url(), servers[1].url()}, "", config).value();
  Sessions sessions(*store, probe);
  auto deadline = [] { return Sessions::Clock::now() + std::chrono::seconds(20); };
  ASSERT_TRUE(eventually([&] { return store->ready().ok(); }));
  auto id = [](int i) { return "018f0000-0000-7000-8000-00000000000" + std::to_string(i); };
  for (int i = 0; i < 10; ++i)
    for (uint64_t generation : {1, 2}) {
      std::promise<Result<SessionWritten>> written;
      SessionWrite write{id(i),
                         generation,
                         1,
                         generation == 2,
                         "g" + std::to_string(generation),
                         generation == 2 ? "g1" : "",
                         "state",
                         60'000};
      sessions.put(write, deadline(), [&](auto r) { written.set_value(std::move(r)); });
      EXPECT_TRUE(written.get_future().get()->stored);
    }
  for (auto& server : servers) EXPECT_NE(server.cli({"KEYS", "rs:*"}), "");
  SessionsConfirmed all_confirmed{"g2", {}};
  for (int i = 0; i < 10; ++i) all_confirmed.sessions.push_back({id(i), 2});
  auto confirm = [&] {
    std::promise<Result<uint64_t>> answer;
    sessions.confirm(all_confirmed, deadline(), [&](auto r) { answer.set_value(std::move(r)); });
    return answer.get_future().get();
  };
  EXPECT_EQ(confirm().value(), 10u);
  auto lost = [&](std::vector<std::string> after) {
    std::promise<Result<LostSessions>> answer;
    sessions.lost("g1", std::move(after), deadline(),
                  [&](auto r) { answer.set_value(std::move(r)); });
    return answer.get_future().get().value();
  };
  const LostSessions all = lost({});
  EXPECT_EQ(all.lost.size(), 10u);
  ASSERT_EQ(all.after.size(), 2u);
  EXPECT_TRUE(lost(all.after).lost.empty());
  // One of them away: what the other one has is told, and the place is kept.
  servers[1].stop();
  ASSERT_TRUE(eventually([&] { return !lost({}).complete; }));
  const LostSessions half = lost({});
  EXPECT_EQ(std::count(half.after.begin(), half.after.end(), ""), 1);
  EXPECT_GT(half.lost.size(), 0u);
  EXPECT_LT(half.lost.size(), 10u);
  EXPECT_EQ(code_of(confirm()), "unavailable") << "so that it is asked for again";
  store->close();
}

}  // namespace
}  // namespace raymesh::cache
