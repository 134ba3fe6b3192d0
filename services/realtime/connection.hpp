// One WebSocket: from the accepted socket over the opening handshake and its channels to the close.
// Belongs to a shard and is used on the shard's thread alone. An idle connection holds this object,
// its subscriptions and its Member, and no buffer: it is read into the shard's buffer, keeps bytes
// only of a frame that has not come whole, and has a Backlog only while its socket is full.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "libs/net/fd_stream.hpp"
#include "libs/net/timer_wheel.hpp"
#include "libs/net/websocket/message_assembler.hpp"
#include "services/realtime/backlog.hpp"
#include "services/realtime/channel.hpp"
#include "services/realtime/close_codes.hpp"
#include "services/realtime/member.hpp"
#include "services/realtime/rate_bucket.hpp"
#include "services/realtime/realtime_token.hpp"

namespace raymesh::realtime {

class Shard;

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
  /// The channel's actor has taken it in.
  void on_joined(const Channel& channel);

  /// Sends frames of a channel, or keeps them if the socket is full.
  void send(std::span<const Span> spans);
  /// Set by the shard while it sends a batch that holds messages of this connection's own.
  bool is_origin = false;

  /// Starts the close handshake. `reason` replaces the code's own.
  void close(const CloseCode& code, std::string_view reason = {});
  /// Ends without one.
  void abort();

  /// Where a subscription's entry stands in its channel's list on the shard.
  void moved(uint32_t subscription, uint32_t place) { subscriptions_[subscription].place = place; }

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
    bool joined = false;
    int32_t batch = -1;  // of the shard's open batches, while a read is handled
  };
  struct Input {
    std::unique_ptr<char[]> data;
    size_t size = 0;
    size_t capacity = 0;
  };

  void on_timeout() override;
  void on_ping_time();

  bool read_once(bool& more);
  void take(std::span<char> data);
  void keep(std::span<const char> rest);
  size_t consume(std::span<char> data);
  size_t read_handshake(std::span<char> data);
  size_t read_frames(std::span<char> data);
  void give_up_reading();
  void on_frame(const net::websocket::Frame& frame);
  void on_message(std::span<char> payload);
  void on_close_frame(std::string_view payload);
  void publish_batches();

  void refuse(int status, const Error& error, std::string_view extra_headers = {});
  void join(Grant grant);
  void opened();
  void leave_channels();

  void write_bytes(std::string_view bytes);
  void write_spans(std::span<const Span> spans);
  void keep_unsent(std::span<const Span> spans, size_t sent);
  void flush_backlog();
  void check_backlog();
  void after_write();

  Shard& shard_;
  const ConnectionId id_;
  const int fd_;
  State state_ = State::kHandshake;
  bool tls_ready_ = false;
  bool ended_ = false;  // the peer will send nothing more
  bool heard_ = true;   // since the last ping
  bool has_published_ = false;
  bool got_close_ = false;
  uint16_t joining_ = 0;    // channels whose Joined is still to come
  size_t wanted_ = 0;       // bytes that make the frame at hand whole
  int64_t expires_at_ = 0;  // Unix seconds
  net::FdStream stream_;
  std::unique_ptr<Input> input_;
  std::unique_ptr<Backlog> backlog_;
  net::websocket::MessageAssembler assembler_;
  RateBucket rate_;
  MemberPtr member_;
  std::vector<Subscription> subscriptions_;  // sorted by the channel's name
  std::string accept_;                       // the 101 answer, until it is sent
};

}  // namespace raymesh::realtime
