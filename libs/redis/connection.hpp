// The state behind Client: its queues, on a Link. Kept alive by its own handlers. The inbox is
// shared (a mutex); everything else belongs to the I/O thread.
#pragma once

#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "libs/redis/client.hpp"
#include "libs/redis/link.hpp"
#include "libs/redis/script.hpp"

namespace raymesh::redis {

class Client::Connection final : public Link {
 public:
  using Clock = Client::Clock;

  Connection(boost::asio::io_context& context, ClientConfig config);
  /// Answers what is left.
  ~Connection() override;

  void submit(const Script* script, Command command, Effect effect, Clock::time_point deadline,
              Done done);
  void close();
  bool ready() const { return connected_.load(std::memory_order_relaxed); }
  ClientStats stats() const;

 private:
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

  std::shared_ptr<Connection> self() {
    return std::static_pointer_cast<Connection>(shared_from_this());
  }

  // Link
  void handshake() override;
  void on_up() override;
  void on_lost(const Error& why) override;
  void on_failed(const Error& why) override;
  bool on_reply(Reply reply) override;
  void on_idle() override { send_pending(); }
  void finish();

  // Commands
  void take_inbox();
  void accept(std::vector<Slot>& batch);
  void send_pending();
  void answer(Slot& slot, Result<Reply> result);
  void release(const Slot& slot);
  void fail_pending(const Error& error);

  // Deadlines
  void watch(Clock::time_point when);
  void check_deadlines();

  const ClientConfig config_;

  std::mutex mutex_;
  std::vector<Slot> inbox_;  // guarded by mutex_
  bool scheduled_ = false;   // guarded by mutex_: take_inbox is on its way
  bool refusing_ = false;    // guarded by mutex_: closed
  std::vector<Slot> taken_;  // swapped with inbox_, keeps its room

  boost::asio::steady_timer deadline_timer_;  // the earliest deadline
  Clock::time_point watching_ = Clock::time_point::max();

  std::deque<Slot> pending_;    // not sent
  std::deque<Slot> in_flight_;  // sent, in order

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
