// One client: from the accepted socket over the opening handshake and its channels to the close. A
// WebSocket in one of its dialects, or an HTTP stream. The parts are in connection (bytes, frames,
// time), connection_handshake (opening, joining), connection_commands (what v1 clients ask for) and
// connection_slow (what a full socket misses). Belongs to a shard and is used on the shard's thread
// alone. An idle connection holds this object, its subscriptions and its Member, and no buffer: it
// is read into the shard's buffer, keeps bytes only of a frame that has not come whole, and has a
// Backlog only while its socket is full.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/net/fd_stream.hpp"
#include "libs/net/timer_wheel.hpp"
#include "libs/net/websocket/message_assembler.hpp"
#include "libs/net/websocket/upgrade.hpp"
#include "raymesh/realtime/v1/socket.pb.h"
#include "services/realtime/backlog.hpp"
#include "services/realtime/broker.hpp"
#include "services/realtime/channel.hpp"
#include "services/realtime/close_codes.hpp"
#include "services/realtime/dialect.hpp"
#include "services/realtime/lossy_queue.hpp"
#include "services/realtime/member.hpp"
#include "services/realtime/rate_bucket.hpp"
#include "services/realtime/realtime_token.hpp"
#include "services/realtime/revocation.hpp"
#include "services/realtime/shard_inbox.hpp"

namespace raymesh::realtime {

class Shard;
struct Leave;

/// A publish that wants an answer: its place in the batch, and its command's id.
struct PublishAck {
  uint32_t index;
  uint64_t id;
};

class Connection final : public net::WheelTimer {
 public:
  /// Takes `fd`, which is non-blocking.
  Connection(Shard& shard, ConnectionId id, int fd);
  ~Connection() override;

  ConnectionId id() const { return id_; }
  int fd() const { return fd_; }
  bool is_open() const { return state_ == State::kOpen; }

  /// Begins the handshake's deadline.
  void start();
  /// `ended`: the peer has closed or broken the connection, so read to the end.
  void on_readable(bool ended);
  void on_writable();
  /// The channel's actor has taken it in, or has not.
  void on_joined(const Joined& joined);
  /// Messages of a channel were lost on their way to this node.
  void on_lost(uint32_t subscription, const Lost& lost);
  /// Answers to its own commands.
  void on_published(const std::string& channel, const std::vector<PublishAck>& acks, size_t count,
                    const Result<Published>& published);
  void send_event(const v1::Event& event);
  void send_error(uint64_t id, const Error& error);

  /// Sends frames of a channel, or keeps them if the socket is full.
  void send(std::span<const Span> spans);
  /// The same for a channel that may leave messages out.
  void send_lossy(uint32_t subscription, const ChannelRule& rule,
                  const LocalChannel::Pending& pending);
  /// Tells a stream of several channels where it stands.
  void note_position(uint32_t subscription, const std::vector<LocalChannel::Pending>& sent);
  /// Set by the shard while it sends a batch that holds messages of this connection's own.
  bool is_origin = false;

  /// Starts the close handshake. `reason` replaces the code's own. `handover`: its client comes
  /// back within this time and stays present until then.
  void close(const CloseCode& code, std::string_view reason = {},
             std::chrono::milliseconds handover = {});
  /// The node is being stopped: tells the client when to come back, and closes.
  void drain(std::chrono::milliseconds return_after, std::chrono::milliseconds handover);
  /// Ends what the revocation is about here: 1 or 0.
  uint64_t revoke(const Revocation& revocation);
  /// Ends without one.
  void abort();

  /// Where a subscription's entry stands in its channel's list on the shard.
  void moved(uint32_t subscription, uint32_t place) { subscriptions_[subscription].place = place; }

  static constexpr size_t kMaxBatchBytes = 256u << 10;  // of the payloads published together

 private:
  enum class State : uint8_t {
    kHandshake,  // reading the upgrade request
    kJoining,    // waiting for the channels' actors, then 101
    kOpen,
    kClosing,  // a close frame is sent or on its way: waiting for the peer's
    kRefused,  // an HTTP error is sent: waiting for the peer to close
    kDead,     // the shard will delete it
  };
  struct Subscription {
    ChannelPtr channel;
    uint32_t place = 0;
    uint32_t ticket = 0;  // of its Join
    int32_t batch = -1;   // of the shard's open batches, while a read is handled
    bool joined = false;
    bool watches = false;
    bool may_publish = false;
    uint64_t command = 0;  // the subscribe command, until it is answered
    Position at;           // kept for Dialect::kEventsMany alone
  };
  /// What only clients of v1 and streams need.
  struct Session {
    Grant grant;
    int64_t tell_at = 0;  // Unix seconds: when to say that the token ends soon; 0: has been
    std::vector<std::string> channels;           // to be joined by opening; sorted
    std::vector<std::optional<Position>> since;  // of a stream, for each of them
    bool wants_presence = false;                 // of a stream
  };
  struct Input {
    std::unique_ptr<char[]> data;
    size_t size = 0;
    size_t capacity = 0;
  };

  void on_timeout() override;
  void on_ping_time();
  void arm_timer();

  bool read_once(bool& more);
  void take(std::span<char> data);
  void keep(std::span<const char> rest);
  size_t consume(std::span<char> data);
  size_t read_frames(std::span<char> data);
  void give_up_reading();
  void on_frame(const net::websocket::Frame& frame);
  void on_message(bool is_text, std::span<char> payload);
  void on_default_message(std::string_view payload);
  void on_close_frame(std::string_view payload);
  void publish_batches();

  size_t read_handshake(std::span<char> data);
  void open_websocket(const net::websocket::UpgradeRequest& request, Grant grant);
  void open_stream(const net::websocket::UpgradeRequest& request, Grant grant);
  void refuse(int status, const Error& error, std::string_view extra_headers = {});
  void admit(Grant grant);
  void on_admitted(const Status& status);
  void join_named();
  /// nullptr when the node has too many channels.
  Subscription* join(const std::string& name, const MemberPtr& member, bool watches,
                     uint8_t allowed, std::optional<Position> since);
  void opened();
  void take_early_input();
  Leave leaving(std::chrono::milliseconds handover) const;
  void leave_channels(std::chrono::milliseconds handover = {});
  void leave(size_t subscription, std::chrono::milliseconds handover);
  void renumber(size_t from);
  Subscription* find_subscription(std::string_view channel);
  uint32_t number(const Subscription& s) const {
    return static_cast<uint32_t>(&s - subscriptions_.data());
  }
  Audience audience(const Subscription& s) const {
    return {dialect_, s.watches, rsv1_ == net::websocket::Rsv1::kCompressed};
  }

  void run_commands(bool is_text, std::span<char> payload);
  void run(const v1::Command& command);
  void subscribe(uint64_t id, const v1::Subscribe& command);
  void unsubscribe(uint64_t id, const std::string& channel, std::string_view reason);
  void publish(uint64_t id, const v1::Publish& command);
  bool begin_read(uint64_t id);
  void read_members(uint64_t id, const v1::ReadMembers& command);
  void read_history(uint64_t id, const v1::ReadHistory& command);
  void refresh(uint64_t id, const std::string& token);
  void refresh_default(const Grant& grant);
  void refresh_session(Grant grant);
  void plan_end();
  bool may(uint64_t id, const std::string& channel, Permission permission, std::string_view what);

  void write_bytes(std::string_view bytes);
  void write_spans(std::span<const Span> spans);
  void send_missed(const Span& missed);
  void keep_unsent(std::span<const Span> spans, size_t sent);
  void flush_backlog();
  void check_backlog();
  void catch_up();
  void write_position();
  void after_write();

  Shard& shard_;
  const ConnectionId id_;
  const int fd_;
  State state_ = State::kHandshake;
  Dialect dialect_ = Dialect::kDefault;
  net::websocket::Rsv1 rsv1_ = net::websocket::Rsv1::kReserved;  // kCompressed: permessage-deflate
  bool tls_ready_ = false;
  bool ended_ = false;  // the peer will send nothing more
  bool heard_ = true;   // since the last ping
  bool has_published_ = false;
  bool got_close_ = false;
  bool admitted_ = false;   // counted by the broker
  uint8_t reads_ = 0;       // of presence and history, under way
  uint16_t joining_ = 0;    // channels whose Joined is still to come before it is open
  uint32_t tickets_ = 0;    // Joins so far
  size_t wanted_ = 0;       // bytes that make the frame at hand whole
  int64_t expires_at_ = 0;  // Unix seconds
  net::FdStream stream_;
  std::unique_ptr<Input> input_;
  std::unique_ptr<Backlog> backlog_;
  std::unique_ptr<LossyQueue> lossy_;
  std::unique_ptr<Session> session_;
  std::chrono::steady_clock::time_point ping_at_;
  net::websocket::MessageAssembler assembler_;
  RateBucket rate_;
  MemberPtr member_;
  std::vector<Subscription> subscriptions_;  // sorted by the channel's name
  std::string accept_;                       // the answer to the request, until it is sent
};

}  // namespace raymesh::realtime
