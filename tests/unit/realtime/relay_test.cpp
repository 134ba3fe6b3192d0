// The Relay method as a gateway sees it, spoken by gRPC's own client over the in-process channel:
// who is told what, in which order, and what becomes of gateways that are slow or broken.
#include <grpcpp/create_channel_posix.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <thread>

#include "libs/actor/system.hpp"
#include "libs/base/json_reader.hpp"
#include "libs/crypto/key_ring.hpp"
#include "libs/host/process.hpp"
#include "libs/rpc/server.hpp"
#include "raymesh/realtime/v1/realtime.grpc.pb.h"
#include "services/realtime/app.hpp"
#include "tests/support/ws_client.hpp"

namespace raymesh::realtime {
namespace {

using namespace std::chrono_literals;

/// One gateway's stream. Waits have a deadline, that of the call.
class Gateway {
 public:
  explicit Gateway(v1::Realtime::Stub& stub) {
    context_.set_deadline(std::chrono::system_clock::now() + 120s);
    stream_ = stub.Relay(&context_);
  }
  ~Gateway() {
    if (stream_) context_.TryCancel();
  }

  bool send(const v1::RelayUp& up) { return stream_->Write(up); }
  void subscribe(uint64_t id, const std::string& channel, std::optional<v1::Place> from = {},
                 bool presence = false, const std::string& identity = {},
                 const std::string& project = "p1") {
    v1::RelayUp up;
    auto& s = *up.add_commands()->mutable_subscribe();
    s.set_subscription(id);
    s.set_project(project);
    s.set_channel(channel);
    if (from) *s.mutable_position() = *from;
    s.set_presence(presence);
    s.set_identity(identity);
    ASSERT_TRUE(send(up));
  }
  void unsubscribe(uint64_t id) {
    v1::RelayUp up;
    up.add_commands()->mutable_unsubscribe()->set_subscription(id);
    ASSERT_TRUE(send(up));
  }
  /// The next event; of no kind at the end of the stream.
  v1::RelayEvent next() {
    while (events_.empty()) {
      v1::RelayDown down;
      if (!stream_->Read(&down)) return {};
      events_.insert(events_.end(), down.events().begin(), down.events().end());
    }
    v1::RelayEvent event = std::move(events_.front());
    events_.erase(events_.begin());
    return event;
  }
  v1::RelayJoined joined() {
    const v1::RelayEvent event = next();
    EXPECT_TRUE(event.has_joined()) << event.ShortDebugString();
    return event.joined();
  }
  v1::RelayMessages messages() {
    const v1::RelayEvent event = next();
    EXPECT_TRUE(event.has_messages()) << event.ShortDebugString();
    return event.messages();
  }
  grpc::Status finish() {
    context_.TryCancel();
    return std::exchange(stream_, nullptr)->Finish();
  }
  /// Without cancelling: the node ends it.
  grpc::Status ended() {
    while (next().event_case() != v1::RelayEvent::EVENT_NOT_SET) {
    }
    return std::exchange(stream_, nullptr)->Finish();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::RelayUp, v1::RelayDown>> stream_;
  std::vector<v1::RelayEvent> events_;
};

class RelayTest : public ::testing::Test {
 protected:
  RelayTest() : registry_(metrics::Registry::create()), env_{common_, *registry_, actors_.get()} {
    config_.listen = "";
    config_.public_listen = "127.0.0.1:0";
    config_.token_keys = {crypto::KeyRing::generate("k1")};
    config_.channel_rules = {"kept:* history=1000"};
    config_.threads = 2;
  }

  void start() {
    app_ = make_app(config_, env_);
    const auto status = app_->start();
    ASSERT_TRUE(status.ok()) << status.error().message;
    stub_ = connect();
  }
  std::unique_ptr<v1::Realtime::Stub> connect() {
    return v1::Realtime::NewStub(
        grpc::CreateInsecureChannelFromFd("in-process", app_->server().connect_in_process()));
  }
  uint64_t publish(const std::string& channel, const std::string& payload) {
    v1::PublishRequest r;
    r.mutable_context()->set_project("p1");
    r.set_channel(channel);
    r.set_payload_json(payload);
    v1::PublishReply reply;
    grpc::ClientContext context;
    const auto status = stub_->Publish(&context, r, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return reply.delivered();
  }
  uint64_t present(const std::string& channel) {
    v1::PresenceRequest r;
    r.mutable_context()->set_project("p1");
    r.set_channel(channel);
    v1::PresenceReply reply;
    grpc::ClientContext context;
    const auto status = stub_->Presence(&context, r, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return reply.count();
  }
  double metric(const std::string& name) {
    const std::string text = registry_->render();
    const size_t at = text.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
  }
  template <class Condition>
  static void eventually(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "the condition never held";
      std::this_thread::sleep_for(5ms);
    }
  }
  static v1::Place place(const v1::RelayJoined& joined, uint64_t more = 0) {
    v1::Place p;
    p.set_epoch(joined.epoch());
    p.set_offset(joined.offset() + more);
    return p;
  }

  std::shared_ptr<metrics::Registry> registry_;
  actor::System actors_;
  host::CommonConfig common_;
  host::Env env_;
  Config config_;
  std::unique_ptr<App> app_;
  std::unique_ptr<v1::Realtime::Stub> stub_;
};

TEST_F(RelayTest, AMessageCrossesTheStreamOnceHoweverManySubscriptionsThereAre) {
  start();
  Gateway gateway(*stub_);
  constexpr uint64_t kSubscriptions = 500;
  for (uint64_t id = 1; id <= kSubscriptions; ++id) gateway.subscribe(id, "room");
  uint64_t joined = 0;
  uint32_t feed = 0;
  while (joined < kSubscriptions) {
    const v1::RelayJoined j = gateway.joined();
    joined += static_cast<uint64_t>(j.subscriptions_size());
    EXPECT_FALSE(j.has_recovered());
    EXPECT_EQ(j.missed(), 0u);
    EXPECT_TRUE(feed == 0 || j.feed() == feed);
    feed = j.feed();
  }
  EXPECT_EQ(publish("room", "1"), kSubscriptions);
  EXPECT_EQ(publish("room", "2"), kSubscriptions);
  EXPECT_EQ(present("room"), kSubscriptions);
  for (const char* payload : {"1", "2"}) {
    const v1::RelayMessages m = gateway.messages();
    EXPECT_EQ(m.feed(), feed);
    ASSERT_EQ(m.payloads_json_size(), 1);
    EXPECT_EQ(m.payloads_json(0), payload);
  }
  // Nothing else came in between.
  gateway.unsubscribe(7);
  EXPECT_EQ(gateway.next().left().subscription(), 7u);
  EXPECT_EQ(publish("room", "3"), kSubscriptions - 1);
  EXPECT_EQ(gateway.messages().payloads_json(0), "3");
  EXPECT_EQ(metric("raymesh_realtime_relayed_total"), 3);
  EXPECT_EQ(metric("raymesh_realtime_relay_streams"), 1);
}

TEST_F(RelayTest, WhoComesWithAPositionGetsWhatWasMissedAloneAndJoinsTheFeedWhereItIs) {
  start();
  Gateway gateway(*stub_);
  gateway.subscribe(1, "kept:c");
  const v1::RelayJoined first = gateway.joined();
  for (const char* payload : {"1", "2", "3"}) publish("kept:c", payload);
  for (int i = 0; i < 3; ++i) gateway.messages();
  gateway.subscribe(2, "kept:c", place(first, 1));
  const v1::RelayJoined second = gateway.joined();
  EXPECT_EQ(second.feed(), first.feed());
  EXPECT_TRUE(second.recovered());
  EXPECT_EQ(second.offset(), first.offset() + 1);
  ASSERT_EQ(second.missed(), 1u);
  const v1::RelayMessages missed = gateway.messages();
  EXPECT_EQ(missed.offset(), first.offset() + 2);
  ASSERT_EQ(missed.payloads_json_size(), 2);
  EXPECT_EQ(missed.payloads_json(0), "2");
  EXPECT_EQ(missed.payloads_json(1), "3");
  publish("kept:c", "4");
  const v1::RelayMessages live = gateway.messages();
  EXPECT_EQ(live.offset(), first.offset() + 4);
  EXPECT_EQ(live.payloads_json_size(), 1);
  // What is not kept, or of another epoch, cannot be had.
  v1::Place foreign = place(first);
  foreign.set_epoch("0123456789abcdef");
  gateway.subscribe(3, "kept:c", foreign);
  const v1::RelayJoined third = gateway.joined();
  EXPECT_TRUE(third.has_recovered());
  EXPECT_FALSE(third.recovered());
  EXPECT_EQ(third.offset(), first.offset() + 4);
  EXPECT_EQ(third.missed(), 0u);
}

TEST_F(RelayTest, MemberEventsComeToThoseWhoAskAndMembersLeaveWithTheStream) {
  start();
  Gateway watcher(*stub_);
  watcher.subscribe(1, "room", {}, true, "ada");
  EXPECT_EQ(watcher.joined().subscriptions(0), 1u);
  const v1::RelayEvent own = watcher.next();
  ASSERT_TRUE(own.has_join()) << own.ShortDebugString();
  EXPECT_NE(own.join().member_json().find(R"("identity":"ada")"), std::string::npos);
  const auto other_stub = connect();
  {
    Gateway other(*other_stub);
    other.subscribe(1, "room");
    other.subscribe(2, "room");
    int joined = 0;
    while (joined < 2) joined += other.joined().subscriptions_size();
    EXPECT_TRUE(watcher.next().has_join());
    EXPECT_TRUE(watcher.next().has_join());
    EXPECT_EQ(present("room"), 3u);
  }
  EXPECT_TRUE(watcher.next().has_leave());
  EXPECT_TRUE(watcher.next().has_leave());
  EXPECT_EQ(present("room"), 1u);
  EXPECT_EQ(publish("room", "1"), 1u);
  EXPECT_EQ(watcher.messages().payloads_json(0), "1");
  watcher.finish();
  eventually([this] { return present("room") == 0; });
  eventually([this] { return metric("raymesh_realtime_relay_streams") == 0; });
  eventually([this] { return metric("raymesh_realtime_channels") == 0; });
}

TEST_F(RelayTest, AGatewayThatDoesNotReadIsToldOfAGapAndGoesOnBehindIt) {
  config_.max_message_bytes = 1u << 20;
  start();
  const auto own_stub = connect();
  Gateway slow(*own_stub);
  Gateway fast(*stub_);
  for (Gateway* g : {&slow, &fast}) {
    g->subscribe(1, "room", {}, g == &slow);
    g->joined();
  }
  // Three times what may wait for a gateway.
  const std::string payload = '"' + std::string(500'000, 'x') + '"';
  constexpr uint64_t kMessages = 100;
  std::thread reader([&fast] {
    for (uint64_t got = 0; got < kMessages;)
      got += static_cast<uint64_t>(fast.messages().payloads_json_size());
  });
  for (uint64_t i = 0; i < kMessages; ++i) EXPECT_EQ(publish("room", payload), 2u);
  // Nobody waits for the slow one.
  reader.join();
  EXPECT_GT(metric("raymesh_realtime_relay_left_out_total"), 10);
  publish("room", "\"last\"");
  uint64_t expected = 1;
  int gaps = 0;
  for (bool last = false; !last;) {
    const v1::RelayEvent event = slow.next();
    if (event.has_join()) continue;
    if (event.has_gap()) {
      ++gaps;
      EXPECT_GE(event.gap().offset(), expected);
      expected = event.gap().offset() + 1;
      if (expected == kMessages + 2) publish("room", "\"last\"");
      continue;
    }
    ASSERT_TRUE(event.has_messages()) << event.ShortDebugString();
    EXPECT_EQ(event.messages().offset(), expected);
    expected += static_cast<uint64_t>(event.messages().payloads_json_size());
    last = *event.messages().payloads_json().rbegin() == "\"last\"";
  }
  EXPECT_GE(gaps, 1);
}

TEST_F(RelayTest, RefusesWhatCannotBeSubscribedToAndTheStreamGoesOn) {
  config_.max_channels = 2;
  start();
  Gateway gateway(*stub_);
  const auto refused = [&](uint64_t id) {
    const v1::RelayEvent event = gateway.next();
    EXPECT_TRUE(event.has_refused()) << event.ShortDebugString();
    EXPECT_EQ(event.refused().subscription(), id);
    return event.refused().error().code();
  };
  gateway.subscribe(1, "");
  EXPECT_EQ(refused(1), "invalid_channel");
  gateway.subscribe(1, std::string(201, 'x'));
  EXPECT_EQ(refused(1), "invalid_channel");
  gateway.subscribe(1, "room", {}, false, {}, "");
  EXPECT_EQ(refused(1), "invalid_request");
  gateway.subscribe(1, "room", {}, false, {}, std::string("p1\0x", 4));
  EXPECT_EQ(refused(1), "invalid_request");
  gateway.subscribe(1, "room", {}, false, std::string(1'000, 'x'));
  EXPECT_EQ(refused(1), "invalid_request");
  gateway.unsubscribe(9);
  EXPECT_EQ(gateway.next().left().subscription(), 9u);
  gateway.subscribe(1, "a");
  gateway.subscribe(2, "b");
  EXPECT_EQ(gateway.joined().subscriptions(0), 1u);
  EXPECT_EQ(gateway.joined().subscriptions(0), 2u);
  gateway.subscribe(3, "c");
  EXPECT_EQ(refused(3), "overloaded");
  EXPECT_EQ(publish("a", "1"), 1u);
  EXPECT_EQ(gateway.messages().payloads_json(0), "1");
}

TEST_F(RelayTest, AGatewayThatBreaksTheProtocolLosesItsStreamAndNothingElse) {
  start();
  Gateway good(*stub_);
  good.subscribe(1, "room");
  good.joined();
  v1::RelayUp zero;
  zero.add_commands()->mutable_subscribe()->set_channel("room");
  v1::RelayUp none;
  none.add_commands();
  v1::RelayUp twice;
  for (int i = 0; i < 2; ++i) {
    auto& s = *twice.add_commands()->mutable_subscribe();
    s.set_subscription(1);
    s.set_project("p1");
    s.set_channel("room");
  }
  v1::RelayUp large;
  large.add_commands()->mutable_subscribe()->set_channel(std::string(300'000, 'x'));
  for (const v1::RelayUp& up : {zero, none, twice, large}) {
    Gateway bad(*stub_);
    bad.send(up);
    const grpc::Status status = bad.ended();
    EXPECT_EQ(status.error_code(),
              &up == &large ? grpc::StatusCode::OUT_OF_RANGE : status.error_code());
    EXPECT_FALSE(status.ok());
  }
  eventually([this] { return present("room") == 1; });
  EXPECT_EQ(publish("room", "1"), 1u);
  EXPECT_EQ(good.messages().payloads_json(0), "1");
  EXPECT_EQ(metric("raymesh_realtime_relay_streams"), 1);
}

TEST_F(RelayTest, RevokingEndsSubscriptions) {
  start();
  Gateway gateway(*stub_);
  gateway.subscribe(1, "a", {}, false, "ada");
  gateway.subscribe(2, "b", {}, false, "ada");
  gateway.subscribe(3, "b", {}, false, "bob");
  int joined = 0;
  while (joined < 3) joined += gateway.joined().subscriptions_size();
  const auto revoke = [this](auto set) {
    v1::RevokeRequest r;
    r.mutable_context()->set_project("p1");
    set(r);
    v1::RevokeReply report;
    grpc::ClientContext context;
    EXPECT_TRUE(stub_->Revoke(&context, r, &report).ok());
    return report.closed();
  };
  EXPECT_EQ(revoke([](auto& r) { r.set_channel("a"); }), 1u);
  v1::RelayEvent event = gateway.next();
  ASSERT_TRUE(event.has_ended()) << event.ShortDebugString();
  EXPECT_TRUE(event.ended().revoked());
  ASSERT_EQ(event.ended().subscriptions_size(), 1);
  EXPECT_EQ(event.ended().subscriptions(0), 1u);
  EXPECT_EQ(revoke([](auto& r) { r.set_identity("bob"); }), 1u);
  event = gateway.next();
  ASSERT_EQ(event.ended().subscriptions_size(), 1);
  EXPECT_EQ(event.ended().subscriptions(0), 3u);
  EXPECT_EQ(revoke([](auto& r) { r.set_token_id("x"); }), 0u);
  EXPECT_EQ(publish("a", "1"), 0u);
  EXPECT_EQ(publish("b", "1"), 1u);
  EXPECT_EQ(gateway.messages().payloads_json(0), "1");
}

TEST_F(RelayTest, AStreamHasAsManySubscriptionsAsItMayAndThenNoMore) {
  constexpr uint64_t kMost = 250'000;
  constexpr uint64_t kChannels = 1'000;
  start();
  Gateway gateway(*stub_);
  // Beside the reading: the node reads no more while many wait to be joined.
  std::thread asking([&] {
    for (uint64_t id = 1; id <= kMost;) {
      v1::RelayUp up;
      for (int i = 0; i < 2'500; ++i, ++id) {
        auto& s = *up.add_commands()->mutable_subscribe();
        s.set_subscription(id);
        s.set_project("p1");
        s.set_channel("room" + std::to_string(id % kChannels));
      }
      if (!gateway.send(up)) return;
    }
  });
  uint64_t joined = 0;
  while (joined < kMost) {
    const v1::RelayEvent event = gateway.next();
    if (!event.has_joined()) break;
    joined += static_cast<uint64_t>(event.joined().subscriptions_size());
  }
  asking.join();
  ASSERT_EQ(joined, kMost);
  gateway.subscribe(kMost + 1, "room1");
  EXPECT_EQ(gateway.next().refused().error().code(), "overloaded");
  EXPECT_EQ(publish("room1", "1"), kMost / kChannels);
  EXPECT_EQ(gateway.messages().payloads_json(0), "1");
  // It is one gateway's bound.
  const auto other_stub = connect();
  Gateway other(*other_stub);
  other.subscribe(1, "room1");
  EXPECT_EQ(other.joined().subscriptions_size(), 1);
  // One less, and there is room for one.
  gateway.unsubscribe(2);
  EXPECT_EQ(gateway.next().left().subscription(), 2u);
  gateway.subscribe(kMost + 2, "room1");
  EXPECT_EQ(gateway.joined().subscriptions(0), kMost + 2);
  gateway.finish();
  eventually([this] { return metric("raymesh_realtime_channels") == 1; });
  EXPECT_EQ(present("room1"), 1u);
}

TEST_F(RelayTest, ANodeThatStopsSaysSo) {
  start();
  Gateway gateway(*stub_);
  gateway.subscribe(1, "room");
  gateway.joined();
  std::thread stop([this] { app_->stop(10s); });
  EXPECT_TRUE(gateway.next().has_drain());
  gateway.ended();
  stop.join();
}

}  // namespace
}  // namespace raymesh::realtime
