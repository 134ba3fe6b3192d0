// What every connection to Redis has in common: resolving, connecting, the handshake, backoff,
// writing what is queued and reading replies. Client's connection and Subscriber's derive from it.
// Kept alive by its own handlers; all of it belongs to the io_context's one thread, except start().
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <random>
#include <string>

#include "libs/redis/address.hpp"
#include "libs/redis/command.hpp"
#include "libs/redis/reply.hpp"
#include "libs/redis/reply_reader.hpp"

namespace raymesh::redis {

struct LinkConfig {
  Address address;
  std::string client_name = "raymesh";  // CLIENT SETNAME
  ReaderLimits reader;
  std::chrono::milliseconds connect_timeout{2'000};
  std::chrono::milliseconds min_backoff{50};
  std::chrono::milliseconds max_backoff{2'000};
};

class Link : public std::enable_shared_from_this<Link> {
 public:
  using Clock = std::chrono::steady_clock;

  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  virtual ~Link() = default;

  /// Begins to connect. Any thread.
  void start();
  const std::string& name() const { return name_; }

 protected:
  using Socket = boost::asio::generic::stream_protocol::socket;
  using ErrorCode = boost::system::error_code;

  enum class State {
    kConnecting,
    kUp,
    kDown,  // the last attempt failed
    kClosed,
  };

  /// `sink` takes the messages of subscriptions; it lives as long as the link.
  Link(boost::asio::io_context& context, LinkConfig config, MessageSink* sink = nullptr);

  // What the connection does with it.

  /// Adds its own commands (handshake_command) to AUTH, SELECT and SETNAME.
  virtual void handshake() {}
  virtual void on_up() = 0;
  /// It was up. The next attempt follows this call.
  virtual void on_lost(const Error& why) = 0;
  /// An attempt has failed. The next one follows after the backoff.
  virtual void on_failed(const Error& why) = 0;
  /// False when the connection is gone.
  virtual bool on_reply(Reply reply) = 0;
  /// Everything that was queued has been written, or what a read brought has been handled.
  virtual void on_idle() = 0;

  void handshake_command(const Command& command);
  /// To be written: append, then write().
  std::string& out() { return out_; }
  bool writing() const { return writing_; }
  /// Writes at once what the socket takes, without a turn through the reactor.
  void write();
  /// Leaves the connection and makes a new one.
  void broke(const Error& why);
  /// No more reads until it is called with false. The kernel's buffers fill meanwhile.
  void pause_reading(bool paused);
  bool reading_paused() const { return paused_; }
  /// For good.
  void close_link();

  State state() const { return state_; }
  /// When the last bytes came.
  Clock::time_point heard() const { return heard_; }
  boost::asio::io_context& context() { return context_; }

 private:
  void connect();
  void connect_to(const boost::asio::generic::stream_protocol::endpoint& endpoint,
                  uint64_t attempt);
  void resolved(const boost::asio::ip::tcp::resolver::results_type& results, uint64_t attempt);
  void connected();
  bool handle_handshake(const Reply& reply);
  void up();
  void retry_later(const Error& why);
  void failed(const Error& why);
  void drop_socket();
  void read();
  void received(size_t bytes);

  boost::asio::io_context& context_;
  const LinkConfig config_;
  const std::string name_;
  MessageSink* const sink_;

  State state_ = State::kConnecting;
  uint64_t attempt_ = 0;  // rises whenever the socket changes; stale handlers compare
  Socket socket_;
  boost::asio::ip::tcp::resolver resolver_;
  boost::asio::steady_timer life_timer_;  // connect timeout, backoff
  std::chrono::milliseconds backoff_;
  std::minstd_rand random_;
  Clock::time_point up_since_;
  Clock::time_point heard_;
  bool told_ = false;  // the log knows that Redis is away

  size_t handshake_left_ = 0;  // replies of the handshake to come
  std::unique_ptr<ReplyReader> reader_;
  std::string out_;
  size_t out_sent_ = 0;
  bool writing_ = false;  // waiting for the socket to take more
  bool reading_ = false;
  bool paused_ = false;
  std::unique_ptr<char[]> in_;
};

}  // namespace raymesh::redis
