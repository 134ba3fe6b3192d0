// The state behind Client: queues, the socket and its life. Kept alive by its own handlers. The
// inbox is shared (a mutex); everything else belongs to the I/O thread.
#pragma once

#include <atomic>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "libs/redis/client.hpp"
#include "libs/redis/script.hpp"

namespace raymesh::redis {

class Client::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::io_context& context, ClientConfig config);
  /// Answers what is left.
  ~Connection();

  void start();
  void submit(const Script* script, Command command, Effect effect, Clock::time_point deadline,
              Done done);
  void close();
  bool ready() const { return connected_.load(std::memory_order_relaxed); }
  ClientStats stats() const;
  const std::string& name() const { return name_; }

 private:
  using Socket = boost::asio::generic::stream_protocol::socket;
  using ErrorCode = boost::system::error_code;

  struct Slot {
    const Script* script;  // nullptr: a plain command
    Command command;
    Clock::time_point deadline;
    Clock::time_point sent;
    Done done;  // empty once answered
    Effect effect;
    bool with_source = false;  // EVAL instead of EVALSHA
    bool retried = false;
    size_t charged;  // bytes counted against max_bytes
  };

  enum class State {
    kConnecting,  // commands wait
    kUp,
    kDown,  // the last attempt failed: commands are refused until one succeeds
    kClosed,
  };

  // Life of the connection
  void connect();
  void connect_to(const boost::asio::generic::stream_protocol::endpoint& endpoint,
                  uint64_t attempt);
  void resolved(const boost::asio::ip::tcp::resolver::results_type& results, uint64_t attempt);
  void connected();
  void up();
  void broke(const Error& why);
  void retry_later(const Error& why);
  void drop_socket();
  void finish();

  // Commands
  void take_inbox();
  void accept(std::vector<Slot>& batch);
  void send_pending();
  void write();
  void read();
  void received(size_t bytes);
  bool handle(Reply reply);
  bool handle_handshake(const Reply& reply);
  void answer(Slot& slot, Result<Reply> result);
  void release(const Slot& slot);
  void fail_pending(const Error& error);

  // Deadlines
  void watch(Clock::time_point when);
  void check_deadlines();

  boost::asio::io_context& context_;
  const ClientConfig config_;
  const std::string name_;

  std::mutex mutex_;
  std::vector<Slot> inbox_;  // guarded by mutex_
  bool scheduled_ = false;   // guarded by mutex_: take_inbox is on its way
  bool refusing_ = false;    // guarded by mutex_: closed
  std::vector<Slot> taken_;  // swapped with inbox_, keeps its room

  State state_ = State::kConnecting;
  uint64_t attempt_ = 0;  // rises whenever the socket changes; stale handlers compare
  Socket socket_;
  boost::asio::ip::tcp::resolver resolver_;
  boost::asio::steady_timer life_timer_;      // connect timeout, backoff
  boost::asio::steady_timer deadline_timer_;  // the earliest deadline
  Clock::time_point watching_ = Clock::time_point::max();
  std::chrono::milliseconds backoff_;
  std::minstd_rand random_;
  Clock::time_point up_since_;
  bool told_ = false;  // the log knows that Redis is away

  std::deque<Slot> pending_;    // not sent
  std::deque<Slot> in_flight_;  // sent, in order
  size_t handshake_left_ = 0;   // replies of the handshake to come
  std::unique_ptr<ReplyReader> reader_;
  std::string out_;
  size_t out_sent_ = 0;
  bool writing_ = false;  // waiting for the socket to take more
  std::unique_ptr<char[]> in_;

  std::atomic<bool> connected_{false};
  std::atomic<uint64_t> outstanding_{0};
  std::atomic<uint64_t> outstanding_bytes_{0};
  std::atomic<uint64_t> commands_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> timeouts_{0};
  std::atomic<uint64_t> connects_{0};
  std::atomic<uint64_t> breaks_{0};
};

}  // namespace raymesh::redis
