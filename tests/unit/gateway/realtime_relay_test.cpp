// RealtimeRelay and RelayFanout between realtime nodes that say what a test tells them to, over
// real sockets, and subscriptions that note down what they get.
#include "services/gateway/realtime_relay.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "libs/actor/system.hpp"
#include "libs/rpc/grpc_wire.hpp"
#include "libs/rpc/http2_connection.hpp"
#include "libs/rpc/peer.hpp"
#include "libs/rpc/server.hpp"
#include "libs/rpc/stream_handler.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"
#include "services/gateway/core.hpp"

namespace raymesh::gateway {
namespace {

using namespace std::chrono_literals;
using realtime::v1::RelayCommand;
using realtime::v1::RelayDown;
using realtime::v1::RelayUp;
using Event = raymesh::raystream::v1::Event;

constexpr char kService[] = "raymesh.realtime.v1.Realtime";
constexpr char kClusterKey[] = "0123456789abcdef0123456789abcdef";

/// A realtime node of one gateway.
class Node {
 public:
  Node() {
    rpc::ServerConfig config;
    config.name = "realtime";
    config.service = kService;
    config.address = "127.0.0.1:0";
    config.credentials.cluster_key = kClusterKey;
    rpc::MethodTable methods;
    methods.add_stream({"Relay", rpc::kCallerGateway, 1u << 20,
                        [this](rpc::Http2Connection& connection, int32_t id) {
                          return Result<std::shared_ptr<rpc::StreamHandler>>(
                              std::make_shared<Stream>(*this, connection, id));
                        }});
    auto server = rpc::Server::start(std::move(config), std::move(methods));
    EXPECT_TRUE(server.ok()) << (server.ok() ? "" : server.error().message);
    server_ = std::move(server).value();
  }
  ~Node() { server_->stop(0ms); }

  std::string address() const { return "127.0.0.1:" + std::to_string(server_->port()); }

  /// The next command; of no kind when none comes for long.
  RelayCommand next() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, 30s, [this] { return !commands_.empty(); })) return {};
    RelayCommand command = std::move(commands_.front());
    commands_.pop_front();
    return command;
  }
  realtime::v1::RelaySubscribe subscribe() {
    const RelayCommand command = next();
    EXPECT_TRUE(command.has_subscribe()) << command.ShortDebugString();
    return command.subscribe();
  }
  bool has_commands() {
    const std::lock_guard lock(mutex_);
    return !commands_.empty();
  }

  /// Sent when what was sent before has left.
  void send(const RelayDown& down) {
    const std::lock_guard lock(mutex_);
    out_.push_back(down.SerializeAsString());
    if (connection_) connection_->wake(stream_);
  }
  void joined(std::initializer_list<uint64_t> ids, uint32_t feed, uint64_t offset,
              std::optional<bool> recovered = {}, uint32_t missed = 0) {
    RelayDown down;
    auto& joined = *down.add_events()->mutable_joined();
    for (const uint64_t id : ids) joined.add_subscriptions(id);
    joined.set_feed(feed);
    joined.set_epoch("abc");
    joined.set_offset(offset);
    if (recovered) joined.set_recovered(*recovered);
    joined.set_missed(missed);
    send(down);
  }
  /// Messages [from, to].
  void messages(uint32_t feed, uint64_t from, uint64_t to, size_t bytes = 0) {
    RelayDown down;
    auto& messages = *down.add_events()->mutable_messages();
    messages.set_feed(feed);
    messages.set_offset(from);
    for (uint64_t i = from; i <= to; ++i)
      messages.add_payloads_json('"' + std::to_string(i) + std::string(bytes, 'x') + '"');
    send(down);
  }
  /// How much of what is to be sent has not been taken by the connection.
  size_t unsent() {
    const std::lock_guard lock(mutex_);
    return out_.size();
  }
  /// Ends the gateway's stream, and does not return before it has ended.
  void cut() {
    std::shared_ptr<rpc::Http2Connection> connection;
    {
      const std::lock_guard lock(mutex_);
      connection = connection_;
    }
    ASSERT_TRUE(connection);
    std::promise<void> done;
    connection->loop().post([&] {
      connection->close("the test has cut it");
      done.set_value();
    });
    done.get_future().wait();
  }

 private:
  class Stream final : public rpc::StreamHandler, public std::enable_shared_from_this<Stream> {
   public:
    Stream(Node& node, rpc::Http2Connection& connection, int32_t id)
        : node_(node), connection_(connection), id_(id) {
      connection_.send_headers(id_, rpc::grpc_wire::answer_headers());
    }
    void on_message(std::string_view message) override {
      RelayUp up;
      EXPECT_TRUE(up.ParseFromArray(message.data(), static_cast<int>(message.size())));
      const std::lock_guard lock(node_.mutex_);
      node_.connection_ = connection_.shared_from_this();
      node_.stream_ = shared_from_this();
      for (auto& command : *up.mutable_commands()) node_.commands_.push_back(std::move(command));
      node_.changed_.notify_all();
    }
    void on_bad_message(std::string_view why, bool) override { ADD_FAILURE() << why; }
    void on_end() override {}
    void on_closed(std::string_view) override {
      const std::lock_guard lock(node_.mutex_);
      open_ = false;
      node_.connection_ = nullptr;
      node_.stream_ = nullptr;
    }
    void on_turn() override {
      const std::lock_guard lock(node_.mutex_);
      while (open_ && !node_.out_.empty() && connection_.unsent(id_) == 0) {
        connection_.send_message(id_, node_.out_.front());
        node_.out_.pop_front();
      }
    }
    bool holds_up_the_end() const override { return false; }

   private:
    Node& node_;
    rpc::Http2Connection& connection_;
    const int32_t id_;
    bool open_ = true;
  };

  std::unique_ptr<rpc::Server> server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<RelayCommand> commands_;
  std::deque<std::string> out_;
  std::shared_ptr<rpc::Http2Connection> connection_;  // once it has sent something
  std::shared_ptr<rpc::StreamHandler> stream_;
};

/// The endpoints are those that a test says; all else is a real peer's.
class Nodes final : public rpc::Peer {
 public:
  explicit Nodes(std::shared_ptr<rpc::Peer> real) : real_(std::move(real)) {}

  void are(std::vector<std::string> addresses) {
    const std::lock_guard lock(mutex_);
    addresses_ = std::move(addresses);
  }
  std::vector<std::string> addresses() override {
    const std::lock_guard lock(mutex_);
    return addresses_;
  }
  std::shared_ptr<const rpc::Dialer> dialer() const override { return real_->dialer(); }
  uint64_t call(std::string_view method, const common::v1::CallContext& context,
                std::string payload, const rpc::CallOptions& options, Done done) override {
    return real_->call(method, context, std::move(payload), options, std::move(done));
  }
  void cancel(uint64_t ticket) override { real_->cancel(ticket); }
  bool ready() const override { return real_->ready(); }
  void close() override { real_->close(); }

 private:
  const std::shared_ptr<rpc::Peer> real_;
  std::mutex mutex_;
  std::vector<std::string> addresses_;
};

class Sink final : public RelaySink {
 public:
  void subscribed(const std::string& position) override { note("at " + text_of(position)); }
  void refused(const Error& error) override { note("refused " + std::string(error.code())); }
  void events(const EventBlockPtr& block) override { take(*block); }
  void left() override { note("left"); }
  void ended(const EventBlockPtr& last) override { take(*last); }

  /// What it got, when it is so much.
  std::vector<std::string> got(size_t count, std::chrono::seconds within = 30s) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, within, [&] { return notes_.size() >= count; });
    return std::exchange(notes_, {});
  }

 private:
  static std::string text_of(const std::string& position) {
    const auto parsed = parse_position(position);
    return parsed ? std::to_string(parsed->offset) : "none";
  }
  void take(const EventBlock& block) {
    for (size_t i = 0; i < block.count(); ++i) {
      Event event;
      EXPECT_TRUE(
          event.ParseFromArray(block.payload(i).data(), static_cast<int>(block.payload(i).size())));
      // Large ones are told apart by their numbers.
      note(Event::Type_Name(event.type()) + event.id() + ' ' + text_of(event.position()));
    }
  }
  void note(std::string what) {
    const std::lock_guard lock(mutex_);
    notes_.push_back(std::move(what));
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> notes_;
};

class RealtimeRelayTest : public ::testing::Test {
 protected:
  static constexpr size_t kWorker = 1;  // not the relay's own

  void start(const std::vector<std::string>& addresses) {
    config_.threads = 2;
    core_ = std::make_unique<Core>(config_, *registry_, actors_.get());
    rpc::PeerConfig peer;
    peer.service = kService;
    peer.endpoints = addresses;
    peer.threads = &core_->threads;
    rpc::ClientCredentials credentials;
    credentials.cluster_key = kClusterKey;
    auto real = rpc::connect_peer(std::move(peer), credentials);
    ASSERT_TRUE(real.ok()) << real.error().message;
    nodes_ = std::make_shared<Nodes>(*real);
    nodes_->are(addresses);
    core_->peers.realtime = nodes_;
  }
  void TearDown() override {
    if (!core_) return;
    on(core_->relay->thread(), [this] { core_->relay->close(); });
    on(kWorker, [this] {
      for (Sink* sink : sinks_) core_->workers[kWorker]->relayed.remove(*sink);
    });
    core_->peers.realtime->close();
    core_->threads.stop();
  }

  /// Lives until nobody can hand it anything any more.
  Sink& sink() { return made_.emplace_back(); }
  template <class F>
  void on(size_t thread, F f) {
    std::promise<void> done;
    core_->threads.post(thread, [&] {
      f();
      done.set_value();
    });
    done.get_future().wait();
  }
  uint64_t subscribe(Sink& sink, const std::string& channel, std::optional<uint64_t> from = {},
                     bool is_new = true) {
    RelayWish wish;
    wish.project = "p1";
    wish.channel = channel;
    if (from) wish.from = ChannelPosition{"abc", *from};
    wish.is_new = is_new;
    const uint64_t id = core_->relay->next_id();
    on(kWorker, [&] {
      core_->workers[kWorker]->relayed.add(
          id, sink, is_new ? std::string() : position_bytes({"abc", from.value_or(0)}));
      sinks_.push_back(&sink);
      core_->relay->subscribe(kWorker, id, std::move(wish));
    });
    return id;
  }
  /// A channel that goes to the last of these addresses.
  static std::string channel_of_last(const std::vector<std::string>& addresses,
                                     const std::string& begin) {
    for (int i = 0;; ++i) {
      const std::string channel = begin + std::to_string(i);
      const uint64_t affinity = std::hash<std::string>()("p1\n" + channel) | 1;
      const uint64_t last = rpc::affinity_score(affinity, addresses.back());
      if (std::all_of(addresses.begin(), addresses.end() - 1, [&](const std::string& other) {
            return rpc::affinity_score(affinity, other) < last;
          }))
        return channel;
    }
  }

  std::deque<Sink> made_;
  Config config_;
  std::shared_ptr<metrics::Registry> registry_ = metrics::Registry::create();
  actor::System actors_{2};
  std::unique_ptr<Core> core_;
  std::shared_ptr<Nodes> nodes_;
  std::vector<Sink*> sinks_;
};

using Notes = std::vector<std::string>;

TEST_F(RealtimeRelayTest, WhoHasNotGotAllThatItHasMissedAsksForTheRestWhenTheStreamBreaks) {
  Node node;
  start({node.address()});
  Sink& first = sink();
  Sink& late = sink();
  const uint64_t first_id = subscribe(first, "c");
  EXPECT_EQ(node.subscribe().subscription(), first_id);
  node.joined({first_id}, 1, 10);
  node.messages(1, 11, 12);
  EXPECT_EQ(first.got(3), (Notes{"at 10", "MESSAGE 11", "MESSAGE 12"}));

  const uint64_t late_id = subscribe(late, "c", 2);
  EXPECT_EQ(node.subscribe().position().offset(), 2u);
  node.joined({late_id}, 1, 2, true, 2);
  node.messages(1, 3, 5);
  EXPECT_EQ(late.got(5), (Notes{"at 2", "RESETpresence 2", "MESSAGE 3", "MESSAGE 4", "MESSAGE 5"}));
  node.cut();

  std::map<uint64_t, uint64_t> from;
  for (int i = 0; i < 2; ++i) {
    const auto again = node.subscribe();
    EXPECT_EQ(again.position().epoch(), "abc");
    from[again.subscription()] = again.position().offset();
  }
  EXPECT_EQ(from, (std::map<uint64_t, uint64_t>{{first_id, 12}, {late_id, 5}}));

  // And so nothing is missing, and nothing comes twice.
  node.joined({late_id}, 7, 5, true, 1);
  node.messages(7, 6, 12);
  node.joined({first_id}, 7, 12, true);
  node.messages(7, 13, 13);
  EXPECT_EQ(late.got(9),
            (Notes{"RESETpresence 5", "MESSAGE 6", "MESSAGE 7", "MESSAGE 8", "MESSAGE 9",
                   "MESSAGE 10", "MESSAGE 11", "MESSAGE 12", "MESSAGE 13"}));
  EXPECT_EQ(first.got(2), (Notes{"RESETpresence 12", "MESSAGE 13"}));
}

TEST_F(RealtimeRelayTest, NodesAreNotReadWhileAThreadDoesNotTakeWhatItGot) {
  constexpr uint64_t kMessages = 96;
  constexpr size_t kBytes = 1'000'000;
  Node node;
  start({node.address()});
  Sink& all = sink();
  const uint64_t id = subscribe(all, "c");
  EXPECT_EQ(node.subscribe().subscription(), id);
  node.joined({id}, 1, 0);
  EXPECT_EQ(all.got(1), Notes{"at 0"});

  std::promise<void> release;
  core_->threads.post(kWorker, [held = release.get_future().share()] { held.wait(); });
  for (uint64_t i = 1; i <= kMessages; ++i) node.messages(1, i, i, kBytes);
  // Until nothing moves any more: half a second is a hundred times what a message takes.
  size_t unsent = kMessages;
  for (auto since = std::chrono::steady_clock::now();
       std::chrono::steady_clock::now() - since < 500ms; std::this_thread::sleep_for(10ms)) {
    const size_t now = node.unsent();
    if (now != std::exchange(unsent, now)) since = std::chrono::steady_clock::now();
  }
  // 32 MiB, and what the connection and its sockets hold.
  EXPECT_GE(kMessages - unsent, 33u);
  EXPECT_LE(kMessages - unsent, 64u);

  release.set_value();
  // At once: the node must not have to wait until the connection is asked whether it is alive.
  const Notes got = all.got(kMessages, 9s);
  ASSERT_EQ(got.size(), kMessages);
  for (uint64_t i = 0; i < kMessages; ++i) EXPECT_EQ(got[i], "MESSAGE " + std::to_string(i + 1));
}

TEST_F(RealtimeRelayTest, ChannelsFollowTheEndpointsThatThereAre) {
  auto old_node = std::make_unique<Node>();
  Node new_node;
  const std::string old_address = old_node->address();
  start({old_address});
  const std::string channel = channel_of_last({old_address, new_node.address()}, "old");
  Sink& stays = sink();
  const uint64_t id = subscribe(stays, channel);
  EXPECT_EQ(old_node->subscribe().subscription(), id);
  old_node->joined({id}, 1, 4);
  EXPECT_EQ(stays.got(1), Notes{"at 4"});

  // A node more: what is subscribed stays, what begins goes where its calls go.
  nodes_->are({old_address, new_node.address()});
  Sink& begins = sink();
  const std::string fresh = channel_of_last({old_address, new_node.address()}, "fresh");
  const uint64_t fresh_id = subscribe(begins, fresh);
  EXPECT_EQ(new_node.subscribe().subscription(), fresh_id);
  new_node.joined({fresh_id}, 1, 0);
  EXPECT_EQ(begins.got(1), Notes{"at 0"});
  EXPECT_FALSE(old_node->has_commands());
  old_node->messages(1, 5, 5);
  EXPECT_EQ(stays.got(1), Notes{"MESSAGE 5"});

  // The old one is taken out, and goes: its channels go on at the new one.
  nodes_->are({new_node.address()});
  old_node.reset();
  const auto again = new_node.subscribe();
  EXPECT_EQ(again.subscription(), id);
  EXPECT_EQ(again.position().offset(), 5u);
  new_node.joined({id}, 2, 5, true);
  new_node.messages(2, 6, 6);
  EXPECT_EQ(stays.got(2), (Notes{"RESETpresence 5", "MESSAGE 6"}));

  // None is left, and then another one is there.
  nodes_->are({});
  new_node.cut();
  Sink& nowhere = sink();
  subscribe(nowhere, "nowhere");
  EXPECT_EQ(nowhere.got(1), Notes{"refused unavailable"});
  Node third;
  nodes_->are({third.address()});
  std::set<uint64_t> asked{third.subscribe().subscription(), third.subscribe().subscription()};
  EXPECT_EQ(asked, (std::set<uint64_t>{id, fresh_id}));
}

}  // namespace
}  // namespace raymesh::gateway
