// Channels for raystream sessions, relayed from realtime nodes (relay.proto): one stream for each
// node, on one of the gateway's I/O threads. Decides which node serves a channel, asks for
// subscriptions there, and asks again, here or elsewhere and with the position of the last event,
// when a stream breaks or a node stops: so sessions see every event once, or a RESET. What comes is
// serialized once and handed to the threads that have subscriptions of the channel (RelayFanout),
// once per batch.
//
// A channel goes to the node that calls about it go to (Exchange::channel_options), as long as that
// is up. Once subscribed it stays where it is until that node goes.
//
// Made with the Core. next_id, subscribe and unsubscribe from any I/O thread; all else on its own.
// Bounded by the sessions' subscriptions, and in bytes that the threads have not taken: above that
// the nodes' streams are not read, and the nodes leave out what they cannot send.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "libs/net/loop.hpp"
#include "libs/rpc/backoff.hpp"
#include "raymesh/realtime/v1/relay.pb.h"
#include "services/gateway/relay_events.hpp"
#include "services/gateway/relay_fanout.hpp"
#include "services/gateway/relay_link.hpp"

namespace raymesh::gateway {

struct Core;

struct RelayWish {
  std::string project;
  std::string channel;
  std::optional<ChannelPosition> from;  // nullopt: from now on
  bool presence = false;
  std::string user;  // as which it is present
  std::string user_session;
  bool is_new = true;  // false: it waits for a node as long as it takes
};

class RealtimeRelay final : private RelayLink::Owner {
 public:
  explicit RealtimeRelay(Core& core);
  ~RealtimeRelay();

  uint64_t next_id() { return last_id_.fetch_add(1, std::memory_order_relaxed) + 1; }
  /// For the sink that thread `worker` knows under this id.
  void subscribe(size_t worker, uint64_t id, RelayWish wish);
  void unsubscribe(uint64_t id);

  /// Bytes of events that threads and sessions hold, each counted once. Any thread.
  size_t held_events() const { return held_events_->load(std::memory_order_relaxed); }

  /// Where it lives.
  size_t thread() const { return kThread; }
  /// Ends the streams, on its thread; nothing comes after that.
  void close();

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr size_t kThread = 0;

  struct Channel;
  struct Node;
  struct Subscription {
    enum class State : uint8_t { kWaiting, kAsked, kLive, kLeaving };
    uint64_t id = 0;
    Channel* channel = nullptr;
    size_t worker = 0;
    State state = State::kWaiting;
    bool answered = false;  // its session knows that it is subscribed
    bool presence = false;
    uint8_t refusals = 0;  // one behind the other
    // From where on, while it is not live; nullptr: from now on.
    std::shared_ptr<const ChannelPosition> from;
    std::string user;
    std::string user_session;
  };
  struct Channel {
    uint32_t number = 0;  // in this gateway
    std::string project;
    std::string name;
    uint64_t affinity = 0;
    Node* node = nullptr;  // nullptr: none yet
    uint32_t feed = 0;     // on the node's stream; 0: none
    ChannelPosition at;    // of what came last
    std::map<uint64_t, Subscription*> subscriptions;
    std::vector<uint64_t> waiting;      // of them, to be asked for at once
    std::vector<uint32_t> live;         // subscriptions, by thread
    std::shared_ptr<EventBlock> block;  // of this batch, not handed over yet
  };
  struct Node {
    std::string address;
    std::shared_ptr<RelayLink> link;  // nullptr: there is none
    bool up = false;
    bool draining = false;
    Clock::time_point up_since;
    Clock::time_point retry_at;
    rpc::Backoff backoff;
    size_t attempts = 0;
    bool warned = false;  // the log knows that it is down
    std::set<Channel*> channels;
    std::unordered_map<uint32_t, Channel*> feeds;
    // The RelayMessages that follow are for those alone.
    struct {
      uint32_t left = 0;
      ChannelPosition at;                      // what they have got of it
      std::vector<std::vector<uint64_t>> ids;  // by thread
    } missed;
  };
  struct Due {
    enum class What : uint8_t { kNoNode, kNoAnswer, kAgain, kPlace } what;
    uint64_t id = 0;
  };

  // What the sessions want, from all threads: a session that is resumed or ends wants much at once.
  struct Request {
    uint64_t id = 0;
    size_t worker = 0;
    std::optional<RelayWish> wish;  // nullopt: to be unsubscribed
  };
  struct Requests {
    std::mutex mutex;
    std::vector<Request> items;  // guarded by mutex
    bool due = false;            // its task is posted; guarded by mutex
  };
  void request(Request request);

  // On its thread.
  void run_requests();
  void add(size_t worker, uint64_t id, RelayWish wish);
  void remove(uint64_t id);
  Channel& channel_of(const RelayWish& wish);
  void erase(Subscription& subscription);
  void refuse(Subscription& subscription, const Error& error);
  void tell_gone(const Subscription& subscription);

  Node* choose(const Channel& channel);
  void place(Channel& channel);
  void place_waiting();
  void connect(Node& node);
  void again(Subscription& subscription, std::chrono::milliseconds pause);
  void ask(Channel& channel);
  void move_channels(Node& node);
  void cut(Channel& channel);

  void link_up(RelayLink& link) override;
  void link_message(RelayLink& link, std::string_view message) override;
  void link_done(RelayLink& link, const std::string& reason) override;
  Node* node_of(const RelayLink& link);

  void take_event(Node& node, std::string_view event);
  void take_messages(Node& node, std::string_view messages);
  void joined(Node& node, const realtime::v1::RelayJoined& joined);
  void refused(Node& node, const realtime::v1::RelayRefused& refused);
  void gap(Node& node, const realtime::v1::RelayGap& gap);
  void member(Node& node, const realtime::v1::RelayMember& member, bool joined);
  void ended(Node& node, const realtime::v1::RelayEnded& ended);
  void drain(Node& node);
  Subscription* find(Node& node, uint64_t id);

  EventBlock& block_of(Channel& channel);
  void seal(Channel& channel);
  void hand_block(Channel& channel);
  EventBlockPtr share(std::shared_ptr<EventBlock> block);
  template <class Item>
  void hand(size_t worker, Item item) {
    out_[worker].emplace_back(std::in_place_type<Item>, std::move(item));
  }
  void flush();
  void flush_later();
  void take(size_t worker);
  void taken(size_t bytes);
  void pause_links(bool pause);

  void later(std::chrono::milliseconds pause, Due due);
  void run_due();
  void arm();

  // What waits for a thread: all that came while it was busy is handed over together, and so leaves
  // in one write for each session.
  struct Inbox {
    std::mutex mutex;
    std::vector<RelayItem> items;  // guarded by mutex
    size_t bytes = 0;              // of their events; guarded by mutex
    bool due = false;              // its task is posted; guarded by mutex
  };

  Core& core_;
  std::vector<std::unique_ptr<Inbox>> inboxes_;  // by thread
  Requests requests_;
  std::atomic<uint64_t> last_id_{0};
  std::atomic<size_t> undelivered_{0};
  // Its events may outlive it.
  const std::shared_ptr<std::atomic<size_t>> held_events_ =
      std::make_shared<std::atomic<size_t>>(0);

  bool closed_ = false;
  bool paused_ = false;
  uint32_t last_number_ = 0;
  std::unordered_map<uint64_t, std::unique_ptr<Subscription>> subscriptions_;
  std::unordered_map<std::string, std::unique_ptr<Channel>> channels_;  // by project and name
  std::unordered_map<std::string, std::unique_ptr<Node>> nodes_;
  std::set<Channel*> homeless_;              // without a node
  bool place_planned_ = false;               // the agenda has a look at them
  std::vector<Channel*> unsealed_;           // with a block
  std::vector<std::vector<RelayItem>> out_;  // by thread
  bool flush_due_ = false;
  std::multimap<Clock::time_point, Due> agenda_;
  std::unique_ptr<net::Loop::Timer> timer_;  // until closed
};

}  // namespace raymesh::gateway
