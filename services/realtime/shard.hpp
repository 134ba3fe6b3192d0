// One I/O thread of the realtime node with an epoll loop of its own. It reads its sockets, runs the
// channel actors that those reads have woken, takes what actors (also those of other shards) have
// handed over, and then sends: every subscriber of a channel gets all that has come since the last
// flush with one send(). With one message outstanding that is at once; with many, whatever arrived
// while the last flush ran goes out together. There is no other setting for it.
//
// Owned by RealtimeNode. start() and stop() from its thread; inbox() from any; all else from the
// shard's own thread.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "libs/net/timer_wheel.hpp"
#include "libs/net/websocket/message_inflater.hpp"
#include "services/realtime/client_message.hpp"
#include "services/realtime/connection.hpp"
#include "services/realtime/node_context.hpp"
#include "services/realtime/revocation.hpp"
#include "services/realtime/shard_inbox.hpp"
#include "services/realtime/shard_loop.hpp"

namespace raymesh::actor {
class LoopUnit;
}

namespace raymesh::realtime {

class Relay;
struct RelaySubscription;

class Shard {
 public:
  using Clock = std::chrono::steady_clock;

  Shard(size_t index, NodeContext& node, ShardInbox& inbox);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  void start();
  /// Ends the loop and its thread; connections that are left are cut.
  void stop();
  ShardInbox& inbox() { return inbox_; }
  /// For connections that are not the shard's own. It must have none any more when it stops.
  net::Loop& loop() { return loop_; }
  /// The one whose thread this is; nullptr on others.
  static const Shard* current();

  // For commands and connections, on the shard's thread.
  size_t index() const { return index_; }
  NodeContext& node() const { return node_; }
  Clock::time_point now() const { return now_; }
  int64_t unix_now() const { return unix_now_; }
  net::TimerWheel& wheel() { return wheel_; }
  ClientMessageParser& parser() { return parser_; }
  net::websocket::MessageInflater& inflater() { return inflater_; }
  /// For a connection in presence: 12 random bytes as text, drawn from the kernel many at a time.
  std::string random_name();
  /// Where sockets are read to.
  std::span<char> read_buffer() { return {read_buffer_.get(), kReadBuffer}; }
  size_t connections() const { return open_; }

  /// Messages of the read that is being handled: of one of the connection's subscriptions, with the
  /// default frames, or for a channel by name.
  struct OpenBatch {
    static constexpr uint32_t kNone = UINT32_MAX;
    uint32_t subscription = kNone;
    std::string channel;
    std::shared_ptr<PublishBatch> batch;
    std::vector<PublishAck> acks;
  };
  std::vector<OpenBatch>& open_batches() { return open_batches_; }

  void subscribe(const ChannelPtr& channel, Audience audience, Connection& connection,
                 uint32_t subscription);
  void unsubscribe(const ChannelPtr& channel, Audience audience, uint32_t place);
  /// The connection has given the subscription at this place another number.
  void renumber(const ChannelPtr& channel, Audience audience, uint32_t place,
                uint32_t subscription);
  /// Reads the connection again in the next turn.
  void read_later(const Connection& connection) { read_later_.push_back(connection.id()); }
  /// Deletes the connection at the end of this turn.
  void doom(Connection& connection) { doomed_.push_back(&connection); }
  /// Owns `fds`, which listen, and shares what it accepts out among `shards`.
  void accept_from(std::vector<int> fds, const std::vector<ShardInbox*>& shards);
  void stop_accepting();
  /// Closes every connection with 1012, evenly over `window`, and tells each to come back within
  /// `return_window`.
  void drain(std::chrono::milliseconds window, std::chrono::milliseconds return_window);
  /// How long one of this node's clients should wait before it comes back, when all do: random.
  std::chrono::milliseconds return_after() const;
  /// Closes the channel's connections here.
  void close_channel(Channel& channel, const CloseCode& code);
  /// Ends what a revocation is about. Returns how many connections, or subscriptions.
  uint64_t revoke(const Revocation& revocation);
  /// nullptr when it has gone.
  Connection* find(ConnectionId id) const;

  // For the streams of gateways.

  void open_relay(Relay& relay) { relays_.push_back(&relay); }
  void close_relay(Relay& relay) { std::erase(relays_, &relay); }
  /// A name for a subscription that is a member like a connection; none when all are in use.
  ConnectionId enlist(RelaySubscription& subscription);
  void discharge(ConnectionId id);

 private:
  static constexpr size_t kReadBuffer = 128u << 10;

  void run();
  int wait_time() const;
  void handle_events(int timeout_ms);
  void accept_ready();
  bool accept_some(int listen_fd);
  void hand_over_accepted();
  void watch_listeners(int operation, uint32_t events);
  void adopt(int fd);
  void read_again();
  void take_inbox();
  uint32_t take_slot();
  RelaySubscription* find_relayed(ConnectionId id) const;
  void handle(Delivery& delivery);
  void handle(Joined& joined);
  void handle(Lost& lost);
  void handle(Incoming& incoming) {
    for (const int fd : incoming.fds) adopt(fd);
  }
  void handle(Command& command) { command(*this); }
  static void handle(net::Loop::Task& task) { task(); }
  void flush_channels();
  void flush(Channel& channel);
  void flush(const ChannelRule& rule, LocalChannel::Group& group);
  void set_origin(ConnectionId origin, bool value);
  void drain_some();
  void bury();
  void read_clock();

  const size_t index_;
  NodeContext& node_;
  ShardInbox& inbox_;
  int epoll_fd_;
  ShardLoop loop_;
  Clock::time_point now_;
  int64_t unix_now_ = 0;
  net::TimerWheel wheel_;
  ClientMessageParser parser_;
  net::websocket::MessageInflater inflater_;
  std::string names_;  // random bytes that are left
  std::unique_ptr<char[]> read_buffer_;
  std::unique_ptr<actor::LoopUnit> actors_;
  bool stopping_ = false;

  struct Slot {
    std::unique_ptr<Connection> connection;
    RelaySubscription* relayed = nullptr;
    uint32_t generation = 0;
  };
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  size_t open_ = 0;
  std::vector<Relay*> relays_;

  std::vector<InboxItem> items_;
  size_t taken_bytes_ = 0;         // of deliveries, until they are flushed
  std::vector<ChannelPtr> dirty_;  // channels with something pending
  std::vector<Span> spans_;        // of the channel being flushed
  std::vector<OpenBatch> open_batches_;
  std::vector<ConnectionId> read_later_;
  std::vector<Connection*> doomed_;

  std::vector<int> listen_fds_;
  Clock::time_point accept_again_{};
  RateBucket accept_bucket_;
  struct AcceptTarget {
    ShardInbox* inbox;
    std::vector<int> accepted;  // in this turn
  };
  AcceptTarget& accept_target();
  std::vector<AcceptTarget> accept_targets_;  // this shard's own first

  struct Drain {
    Clock::time_point from;
    std::chrono::milliseconds window{0};
    std::chrono::milliseconds return_window{0};
    size_t total = 0;
    size_t closed = 0;
    uint32_t next_slot = 0;
  };
  std::unique_ptr<Drain> drain_;
  std::thread thread_;
};

}  // namespace raymesh::realtime
