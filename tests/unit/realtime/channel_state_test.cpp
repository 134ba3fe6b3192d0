// The state of a channel's actor with a broker whose answers come when the test says so: late, in
// any order, or as failures.
#include "services/realtime/channel_state.hpp"

#include <gtest/gtest.h>

namespace raymesh::realtime {
namespace {

using Calls = std::vector<std::string>;

/// Notes what it is asked. Answers are given by calling the state.
class ScriptedBroker final : public Broker {
 public:
  Calls take() { return std::exchange(calls_, {}); }
  bool is_local = false;

  void publish(const std::string&, const std::string&, const ChannelPtr&,
               std::shared_ptr<const PublishBatch>, Answer<Published>) override {}
  void attach(const ChannelPtr&, Answer<Position>) override { note("attach"); }
  void detach(const ChannelPtr&) override { note("detach"); }
  void enter(const ChannelPtr&, const MemberPtr& member, Answer<std::string>) override {
    note("enter " + member->id);
  }
  void leave(const ChannelPtr&, const MemberPtr& member,
             std::chrono::milliseconds handover) override {
    note("leave " + member->id +
         (handover.count() > 0 ? " handed over by " + member->token_id : std::string()));
  }
  void watch(const ChannelPtr&, bool wanted) override { note(wanted ? "watch" : "unwatch"); }
  void refreshed(const ChannelPtr&, uint64_t number, Answer<Position>) override {
    note("refreshed " + std::to_string(number));
  }
  void position(const ChannelPtr&, Answer<Position>) override { note("position"); }
  void history(const std::string&, const std::string&, const ChannelPtr&, Position since, size_t,
               Answer<HistoryPage>) override {
    note("history " + (since ? std::to_string(since.offset) : "all"));
  }
  void presence(const std::string&, const std::string&, const ChannelPtr&, PresenceQuery,
                Answer<PresencePage>) override {}
  void admit(const MemberPtr&, Answered) override {}
  void dismiss(const MemberPtr&) override {}
  void revoke(Revocation, Answer<RevokeReport>) override {}
  bool history_is_local() const override { return is_local; }
  Status ready() const override { return ok_status(); }
  void stop(std::chrono::milliseconds) override {}

 private:
  void note(std::string call) { calls_.push_back(std::move(call)); }
  Calls calls_;
};

class ChannelStateTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kEpoch = 7;
  static constexpr uint64_t kOther = 8;

  void start(const std::string& rule = "* history=100", bool is_local = false) {
    outlets_->rules = ChannelRules::parse({rule}).value();
    broker_->is_local = is_local;
    outlets_->broker = broker_;
    outlets_->on_give_up([this](const ChannelPtr&) { ++given_up_; });
    channel_ = std::make_shared<Channel>("p", "c", outlets_->rules.find("c"), 1);
    state_ =
        std::make_unique<ChannelState>(channel_, "p", "c", outlets_->rules.find("c"), outlets_);
  }
  static ConnectionId id(uint32_t n) { return ConnectionId::make(0, n, 1); }
  void join(uint32_t n, std::optional<Position> since = {}, bool watches = false) {
    auto member = std::make_shared<Member>();
    member->connection = id(n);
    member->id = std::to_string(n);
    member->token_id = "first token";
    Audience audience;
    audience.dialect = Dialect::kLines;
    audience.watches = watches;
    state_->join({member, audience, since, n});
  }
  void leave(uint32_t n) { state_->leave({id(n), {}, {}}); }
  void enter(uint32_t n) { state_->entered(id(n), std::to_string(n)); }
  /// With members, at an offset.
  void start_with(std::initializer_list<uint32_t> members, uint64_t offset) {
    start();
    for (const uint32_t n : members) join(n);
    state_->attached(Position{kEpoch, offset});
    for (const uint32_t n : members) enter(n);
    seen();
    broker_->take();
  }
  static std::shared_ptr<PublishBatch> batch(uint64_t first, size_t count) {
    auto out = std::make_shared<PublishBatch>();
    for (size_t i = 0; i < count; ++i) out->add(std::to_string(first + i));
    return out;
  }
  /// Messages whose payloads are their offsets.
  void arrive(uint64_t first, size_t count = 1, uint64_t epoch = kEpoch) {
    state_->arrived({{epoch, first}, batch(first, count)});
  }
  void load(uint64_t first, uint64_t last, uint64_t latest, uint64_t epoch = kEpoch) {
    HistoryPage page{{epoch, latest}, {}};
    for (uint64_t at = first; at <= last; ++at) page.messages.push_back({at, std::to_string(at)});
    Result<HistoryPage> result(std::move(page));
    state_->history_loaded(result);
  }
  void fail_to_load() {
    Result<HistoryPage> result(Error(errors::kUnavailable, "no"));
    state_->history_loaded(result);
  }
  /// What the shard has got: "1 joined at 5", "6 7", "lost up to 9: 2".
  Calls seen() {
    Calls out;
    std::vector<InboxItem> items;
    outlets_->shards[0]->take(items);
    for (InboxItem& item : items) {
      if (const auto* joined = std::get_if<Joined>(&item)) {
        std::string text = std::to_string(joined->ticket);
        if (joined->failure) {
          text += " failed";
        } else {
          text += " joined at " + std::to_string(joined->at.offset);
          if (joined->recovered) text += *joined->recovered ? " recovered" : " not recovered";
          for (const std::string& one : payloads(joined->missed)) text += ' ' + one;
        }
        out.push_back(text);
      } else if (const auto* lost = std::get_if<Lost>(&item)) {
        out.push_back("lost up to " + std::to_string(lost->at.offset) + ": " +
                      (lost->messages ? std::to_string(*lost->messages) : "?"));
      } else if (const auto* delivery = std::get_if<Delivery>(&item)) {
        std::string text;
        const Span& span = delivery->what.span;
        if (delivery->what.messages == 0) text.assign(span.data(), span.size());
        for (const std::string& one : payloads(span)) text += (text.empty() ? "" : " ") + one;
        out.push_back(text);
      }
    }
    return out;
  }
  static std::vector<std::string> payloads(const Span& span) {
    std::vector<std::string> out;
    if (span.empty()) return out;
    const std::string text(span.data(), span.size());
    size_t at = 0;
    while ((at = text.find("\"payload", at)) != std::string::npos) {
      at = text.find(':', at) + 1;
      const size_t end = text.find('}', at);
      std::string values = text.substr(at, end - at);
      std::erase_if(values, [](char c) { return c == '[' || c == ']'; });
      std::replace(values.begin(), values.end(), ',', ' ');
      out.push_back(values);
    }
    return out;
  }

  std::shared_ptr<ScriptedBroker> broker_ = std::make_shared<ScriptedBroker>();
  std::shared_ptr<ChannelOutlets> outlets_ = std::make_shared<ChannelOutlets>(1);
  ChannelPtr channel_;
  std::unique_ptr<ChannelState> state_;
  int given_up_ = 0;
};

// ---- becoming a member ----

TEST_F(ChannelStateTest, TheFirstAttachesAndAllEnterBehindIt) {
  start();
  join(1);
  join(2);
  EXPECT_EQ(broker_->take(), Calls{"attach"});
  state_->attached(Position{kEpoch, 5});
  Calls entering = broker_->take();
  std::sort(entering.begin(), entering.end());
  EXPECT_EQ(entering, (Calls{"enter 1", "enter 2"}));
  arrive(6);
  EXPECT_EQ(seen(), Calls{});  // nobody is in
  enter(2);
  arrive(7);
  enter(1);
  EXPECT_EQ(seen(), (Calls{"2 joined at 6", "7", "1 joined at 7"}));
}

TEST_F(ChannelStateTest, WhatArrivesWhileAttachingLiesBeforeThePosition) {
  start();
  join(1);
  arrive(4, 2);
  arrive(9, 1, kOther);  // of the epoch before
  arrive(6);
  state_->attached(Position{kEpoch, 6});
  enter(1);
  arrive(7);
  EXPECT_EQ(seen(), (Calls{"1 joined at 6", "7"}));
}

TEST_F(ChannelStateTest, AFailedAttachFailsWhoWaitsAndTheNextTriesAgain) {
  start();
  join(1);
  join(2);
  leave(2);
  broker_->take();
  state_->attached(Error(errors::kUnavailable, "no"));
  EXPECT_EQ(seen(), Calls{"1 failed"});
  EXPECT_EQ(broker_->take(), Calls{"detach"});
  leave(1);
  join(3);
  EXPECT_EQ(broker_->take(), Calls{"attach"});
}

TEST_F(ChannelStateTest, WhoIsHandedOverIsKnownByTheTokenThatItHasInTheEnd) {
  start_with({1, 2}, 5);
  join(3);
  enter(3);
  broker_->take();
  state_->leave({id(1), std::chrono::seconds(5), "first token"});
  state_->leave({id(2), std::chrono::seconds(5), "refreshed"});
  state_->leave({id(3), std::chrono::seconds(5), "refreshed"});  // before it has recovered
  EXPECT_EQ(broker_->take(),
            (Calls{"leave 1 handed over by first token", "leave 2 handed over by refreshed",
                   "leave 3 handed over by refreshed"}));
}

TEST_F(ChannelStateTest, WhoLeavesWhileEnteringLeavesWhenItIsIn) {
  start_with({9}, 5);
  join(1);
  leave(1);
  join(1);
  leave(1);
  join(1);
  EXPECT_EQ(broker_->take(), Calls{"enter 1"});
  enter(1);
  EXPECT_EQ(broker_->take(), (Calls{"leave 1", "enter 1"}));
  EXPECT_EQ(seen(), Calls{});
  enter(1);
  EXPECT_EQ(seen(), Calls{"1 joined at 5"});
}

TEST_F(ChannelStateTest, WhoTakesAPlaceOverIsPresentUnderItsId) {
  start_with({9}, 5);
  join(1);
  state_->entered(id(1), std::string("before"));
  EXPECT_EQ(seen(), Calls{"1 joined at 5"});
  state_->refresh({true, 3});
  leave(1);
  // Also when it has left before the answer.
  join(2);
  leave(2);
  state_->entered(id(2), std::string("other"));
  EXPECT_EQ(broker_->take(), (Calls{"enter 1", "enter 9", "enter before", "refreshed 3",
                                    "leave before", "enter 2", "leave other"}));
}

TEST_F(ChannelStateTest, WhoCannotEnterIsToldAndIsNoMember) {
  start_with({9}, 5);
  join(1);
  state_->entered(id(1), Error(errors::kUnavailable, "no"));
  leave(1);
  EXPECT_EQ(seen(), Calls{"1 failed"});
  EXPECT_EQ(broker_->take(), Calls{"enter 1"});
}

TEST_F(ChannelStateTest, RetiresOnlyWhenNobodyIsBeingEntered) {
  start_with({}, 0);
  join(1);
  state_->attached(Position{kEpoch, 5});
  leave(1);
  broker_->take();
  state_->retire();
  EXPECT_FALSE(state_->is_retired());
  enter(1);
  EXPECT_TRUE(state_->is_retired());
  EXPECT_EQ(broker_->take(), (Calls{"leave 1", "detach"}));
}

TEST_F(ChannelStateTest, WatchesAsLongAsSomebodyWantsIt) {
  start_with({9}, 5);
  join(1, {}, true);
  EXPECT_EQ(broker_->take(), (Calls{"watch", "enter 1"}));
  join(2);
  enter(2);  // one that does not watch must not end it for the one on the way
  EXPECT_EQ(broker_->take(), Calls{"enter 2"});
  enter(1);
  leave(1);
  EXPECT_EQ(broker_->take(), (Calls{"leave 1", "unwatch"}));
  join(3, Position{kEpoch, 1}, true);
  enter(3);  // and waits for the history
  leave(3);
  EXPECT_EQ(broker_->take(), (Calls{"watch", "enter 3", "history all", "leave 3", "unwatch"}));
}

TEST_F(ChannelStateTest, ThatEventsAreMissingIsSaidToThoseWhoWatchAndOfNoPosition) {
  start_with({9}, 5);
  state_->events_missed();
  EXPECT_EQ(seen(), Calls{});
  join(1, {}, true);
  enter(1);
  seen();
  state_->events_missed();
  EXPECT_EQ(seen(), Calls{"{\"type\":\"gap\",\"channel\":\"c\",\"reason\":\"presence\"}\n"});
  // It is on the broker to know when: a refresh alone does not say so.
  state_->refresh({false, 1});
  state_->refreshed(Position{kEpoch, 5});
  EXPECT_EQ(seen(), Calls{});
}

// ---- order ----

TEST_F(ChannelStateTest, LeavesOutWhatItKnowsInABatch) {
  start_with({1}, 5);
  arrive(6, 3);
  arrive(7);
  arrive(7, 4);
  EXPECT_EQ(seen(), (Calls{"6 7 8", "9 10"}));
}

TEST_F(ChannelStateTest, AGapIsMendedFromTheHistoryInOrder) {
  start_with({1}, 5);
  arrive(6);
  arrive(9);
  arrive(10);
  EXPECT_EQ(broker_->take(), Calls{"history 6"});
  EXPECT_EQ(seen(), Calls{"6"});
  load(7, 9, 9);
  EXPECT_EQ(seen(), (Calls{"7 8 9", "10"}));
}

TEST_F(ChannelStateTest, WhatTheHistoryDoesNotHaveIsLost) {
  start_with({1}, 5);
  arrive(9);
  load(8, 9, 9);  // begins too late
  EXPECT_EQ(seen(), (Calls{"lost up to 8: 3", "9"}));
  arrive(12);
  fail_to_load();
  EXPECT_EQ(seen(), (Calls{"lost up to 11: 2", "12"}));
}

TEST_F(ChannelStateTest, WithoutHistoryAGapIsLostAtOnce) {
  start("other history=1");
  join(1);
  state_->attached(Position{kEpoch, 5});
  enter(1);
  seen();
  arrive(8);
  arrive(3, 1, kOther);
  EXPECT_EQ(seen(), (Calls{"lost up to 7: 2", "8", "lost up to 2: ?", "3"}));
}

TEST_F(ChannelStateTest, ARefreshFindsWhatWasMissed) {
  start_with({1}, 5);
  state_->refresh({true, 1});
  EXPECT_EQ(broker_->take(), (Calls{"enter 1", "refreshed 1"}));
  state_->refreshed(Position{kEpoch, 7});
  EXPECT_EQ(broker_->take(), Calls{"history 5"});
  arrive(8);
  load(6, 8, 8);
  EXPECT_EQ(seen(), Calls{"6 7 8"});
  state_->refreshed(Position{kEpoch, 8});
  EXPECT_EQ(broker_->take(), Calls{});
}

TEST_F(ChannelStateTest, ANewEpochIsNotLeftAgainForWhatWasHeld) {
  start_with({1}, 5);
  arrive(9);
  arrive(10);
  EXPECT_EQ(broker_->take(), Calls{"history 5"});
  state_->refreshed(Position{kOther, 2});
  EXPECT_EQ(seen(), Calls{"lost up to 2: ?"});
  load(6, 9, 9);  // comes too late
  arrive(3, 1, kOther);
  EXPECT_EQ(seen(), Calls{"3"});
}

TEST_F(ChannelStateTest, WhatWaitsForTheMissingIsBounded) {
  start_with({1}, 0);
  auto large = std::make_shared<PublishBatch>();
  large->add('"' + std::string(1u << 20, 'x') + '"');
  for (uint64_t at = 5; at <= 12; ++at) state_->arrived({{kEpoch, at}, large});
  EXPECT_EQ(seen(), Calls{"lost up to 12: ?"});
  arrive(13);
  fail_to_load();
  arrive(14);
  EXPECT_EQ(seen(), (Calls{"13", "14"}));
}

// ---- recovery ----

TEST_F(ChannelStateTest, RecoversFromTheBrokersHistoryAndWhatHasComeMeanwhile) {
  start_with({1}, 5);
  join(2, Position{kEpoch, 3});
  enter(2);
  EXPECT_EQ(broker_->take(), (Calls{"enter 2", "history all"}));
  arrive(6);
  EXPECT_EQ(seen(), Calls{"6"});
  load(1, 5, 5);
  EXPECT_EQ(seen(), Calls{"2 joined at 3 recovered 4 5 6"});
  // From now on it knows.
  join(3, Position{kEpoch, 0});
  enter(3);
  EXPECT_EQ(seen(), Calls{"3 joined at 0 recovered 1 2 3 4 5 6"});
  EXPECT_EQ(broker_->take(), Calls{"enter 3"});
}

TEST_F(ChannelStateTest, APageThatIsAheadOfWhatHasArrivedIsNotTakenTwice) {
  start_with({1}, 5);
  join(2, Position{kEpoch, 3});
  enter(2);
  load(1, 8, 8);
  arrive(6, 3);
  EXPECT_EQ(seen(), (Calls{"2 joined at 3 recovered 4 5", "6 7 8"}));
}

TEST_F(ChannelStateTest, SaysSoWhenItCannotRecover) {
  start_with({1}, 5);
  join(2, Position{kEpoch, 3});
  enter(2);
  fail_to_load();
  join(3, Position{kOther, 5});
  enter(3);
  state_->checked(Position{kEpoch, 5});
  join(4, Position{kEpoch, 6});
  enter(4);
  state_->checked(Position{kEpoch, 5});
  join(5, Position{kEpoch, 5});
  enter(5);
  EXPECT_EQ(seen(), (Calls{"2 joined at 5 not recovered", "3 joined at 5 not recovered",
                           "4 joined at 5 not recovered", "5 joined at 5 recovered"}));
  broker_->take();
  // A failure is not remembered.
  join(6, Position{kEpoch, 3});
  enter(6);
  EXPECT_EQ(broker_->take(), (Calls{"enter 6", "history all"}));
}

TEST_F(ChannelStateTest, WhoIsAheadOfThisNodeWaitsUntilItHasCaughtUp) {
  start_with({1}, 5);
  join(2, Position{kEpoch, 7});
  enter(2);
  join(3, Position{kOther, 1});
  enter(3);  // one question at a time
  EXPECT_EQ(broker_->take(), (Calls{"enter 2", "position", "enter 3"}));
  state_->refresh({false, 1});
  EXPECT_EQ(broker_->take(), (Calls{"refreshed 1"}));
  state_->refreshed(Position{kEpoch, 5});  // is no answer to that question
  EXPECT_EQ(seen(), Calls{});
  state_->checked(Position{kEpoch, 7});
  EXPECT_EQ(broker_->take(), (Calls{"history 5"}));
  load(6, 7, 7);
  EXPECT_EQ(broker_->take(), (Calls{"position"}));
  state_->checked(Position{kEpoch, 7});
  EXPECT_EQ(seen(), (Calls{"6 7", "2 joined at 7 recovered", "3 joined at 7 not recovered"}));
}

TEST_F(ChannelStateTest, WithoutAnAnswerNobodyIsToldAPosition) {
  start_with({1}, 5);
  join(2, Position{kEpoch, 7});
  enter(2);
  broker_->take();
  state_->checked(Error(errors::kUnavailable, "no"));
  EXPECT_EQ(seen(), (Calls{"2 failed"}));
  EXPECT_EQ(broker_->take(), (Calls{"leave 2"}));
  // As for everybody else, nothing has happened.
  arrive(6);
  EXPECT_EQ(seen(), (Calls{"6"}));
}

TEST_F(ChannelStateTest, MendingDoesNotEndWhatTheHistoryCanGive) {
  start_with({1}, 5);
  arrive(7);
  load(6, 7, 7);
  broker_->take();
  join(2, Position{kEpoch, 3});
  enter(2);
  EXPECT_EQ(broker_->take(), (Calls{"enter 2", "history all"}));
  load(1, 7, 7);
  EXPECT_EQ(seen(), (Calls{"6 7", "2 joined at 3 recovered 4 5 6 7"}));
}

TEST_F(ChannelStateTest, APageThatWasAskedForBeforeTheGapDoesNotDecideWhatIsLost) {
  start_with({1}, 5);
  join(2, Position{kEpoch, 3});
  enter(2);
  arrive(8);  // 6 and 7 are missing; the page was read before they were there
  EXPECT_EQ(broker_->take(), (Calls{"enter 2", "history all"}));
  load(1, 5, 5);
  EXPECT_EQ(broker_->take(), Calls{"history 5"});
  load(6, 8, 8);
  EXPECT_EQ(seen(), Calls{"6 7 8"});
  EXPECT_EQ(broker_->take(), Calls{"history all"});
  load(1, 8, 8);
  EXPECT_EQ(seen(), Calls{"2 joined at 3 recovered 4 5 6 7 8"});
}

// ---- a history that lives here ----

TEST_F(ChannelStateTest, KeepsOneTimerHoweverOftenItsMembersComeAndGo) {
  start("* history=10 history-ttl=10s", true);
  int timers = 0;
  for (uint32_t n = 1; n <= 100; ++n) {
    join(n);
    if (n == 1) state_->attached(Position{});
    enter(n);
    state_->publish(batch(n, 1));
    timers += state_->take_expiry().has_value();
    leave(n);
    timers += state_->take_expiry().has_value();  // Unused
  }
  EXPECT_EQ(timers, 1);
}

TEST_F(ChannelStateTest, GivesItselfUpWhenAllHasExpired) {
  start("* history=10 history-ttl=10s history-bytes=1KiB", true);
  // Too large to be kept, and never anybody there.
  auto large = std::make_shared<PublishBatch>();
  large->add('"' + std::string(2'000, 'x') + '"');
  state_->publish(large);
  auto when = state_->take_expiry();
  for (int i = 0; when && i < 5; ++i) when = state_->expire(*when);
  EXPECT_FALSE(when);
  EXPECT_EQ(given_up_, 1);
}

TEST_F(ChannelStateTest, WhoLeavesWhileEnteringDoesNotKeepAHistoryForEver) {
  start("* history=10 history-ttl=10s", true);
  join(1);
  state_->attached(Position{});
  leave(1);
  EXPECT_FALSE(state_->take_expiry());
  enter(1);
  EXPECT_TRUE(state_->take_expiry());
}

}  // namespace
}  // namespace raymesh::realtime
