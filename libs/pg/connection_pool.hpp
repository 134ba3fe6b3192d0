// The pipelined connections of one login, few and shared by all of its requests. Puts
// reads together while they are fast, else chooses the connection with the fewest requests in
// flight, passes over one whose oldest request is slow, and opens another one when all are slow or
// full, so that a slow statement holds up nobody while a connection could be had. Owned by
// ProjectPools; one I/O thread calls everything.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "libs/pg/pipeline_connection.hpp"
#include "libs/pg/session_terminator.hpp"

namespace raymesh::pg {

struct PoolLimits {
  size_t max_connections = 8;
  /// Requests in flight on one connection; more wait in the pool's queue.
  size_t max_depth = 64;
  /// With so many in flight on the least busy connection, another one is opened.
  size_t grow_depth = 32;
  /// The same when the next request is a write: one session waits for the disk at every commit,
  /// several share the wait (group commit).
  size_t grow_depth_writes = 2;
  /// A read goes to a connection that has fewer than this in flight, all of them reads and the
  /// oldest younger than `pack_while`, before it goes to an idle one: what leaves together costs
  /// one system call and wakes one server process.
  size_t pack_depth = 16;
  std::chrono::microseconds pack_while{1'000};
  /// An oldest request this old is slow: nothing more is put behind it.
  std::chrono::milliseconds slow_after{4};
  /// Reads behind a slow request this old are run again elsewhere.
  std::chrono::milliseconds rescue_after{20};
  /// How long a request waits for a connection, at most.
  std::chrono::milliseconds max_wait{5'000};
  size_t max_waiting = 4'096;
  size_t max_waiting_bytes = 64u << 20;
  /// After so long without a successful connect, requests fail at once instead of waiting.
  std::chrono::milliseconds outage_after{2'000};
  std::chrono::milliseconds connect_timeout{5'000};
  /// Past either, a connection is replaced by a fresh one.
  std::chrono::minutes max_age{30};
  uint64_t max_statements = 1'000'000;
  /// After statement_timeout and this much more, the session is ended from another one.
  std::chrono::milliseconds overstay{1'000};
};

/// What the pools count; read by the metrics.
struct PoolEvents {
  virtual ~PoolEvents() = default;
  virtual void connection_opened() {}
  virtual void connection_closed() {}
  virtual void connect_failed() {}
  virtual void connection_lost() {}
  virtual void session_tainted() {}
  virtual void session_terminated() {}
  virtual void request_retried() {}
  virtual void request_rescued() {}
  virtual void wait_refused() {}
};

class ConnectionPool final : public PipelineConnection::Owner {
 public:
  /// Where connections are allowed from: one budget for all pools.
  class Budget {
   public:
    virtual ~Budget() = default;
    /// Takes one place, if need be from an idle connection of a pool that was used longest ago.
    virtual bool take(ConnectionPool& pool) = 0;
    virtual void give_back() = 0;
  };

  ConnectionPool(boost::asio::io_context& io, Login login, const PoolLimits& limits,
                 const ConnectionLimits& connection_limits, Budget& budget, PoolEvents& events);
  ~ConnectionPool() override;

  void submit(RequestPtr request);
  /// Every few milliseconds while has_work(): deadlines, slow statements, growth.
  void tick(Clock::time_point now);
  /// The schema has changed: prepared statements are closed.
  void forget_statements();
  /// Closes one connection that has nothing to do; false when there is none.
  bool close_idle_connection();
  /// Puts nothing more on the least busy connection and closes it when it is done.
  void retire_one();
  /// Answers whatever is left with `unavailable` (sent writes: outcome_unknown) and closes.
  void shutdown();

  bool has_work() const;
  size_t connections() const { return connections_.size() + connecting_.size(); }
  size_t in_flight() const;
  size_t waiting() const { return waiting_.size(); }
  size_t retiring() const { return retiring_.size(); }
  Clock::time_point last_used() const { return last_used_; }

 private:
  using ConnectionPtr = std::shared_ptr<PipelineConnection>;

  void on_progress(PipelineConnection& connection) override;
  void on_suspect(RequestPtr request) override;
  void on_lost(PipelineConnection& connection, std::vector<PipelineConnection::Unanswered> lost,
               std::string reason) override;

  void pump();
  PipelineConnection* choose(Clock::time_point now, bool is_write);
  bool can_pack(const PipelineConnection& connection, Clock::time_point now) const;
  void grow(Clock::time_point now);
  void open_connection();
  void connected(Result<ConnectionHandle> result);
  void connect_failed(const Error& error);
  void retire_if_worn(PipelineConnection& connection);
  void drop(PipelineConnection& connection);
  void requeue(std::vector<RequestPtr> requests);
  /// Runs again what may be run again and answers the rest.
  void settle(std::vector<PipelineConnection::Unanswered> lost, const std::string& reason);
  void expire_waiting(Clock::time_point now);
  void rescue_reads(Clock::time_point now);
  void end_overstayed(Clock::time_point now);
  bool is_ending(int backend_pid) const;
  bool is_outage(Clock::time_point now) const;
  void fail_waiting(const Error& error);
  static void fail(RequestPtr request, Error error);

  boost::asio::io_context& io_;
  const Login login_;
  const PoolLimits limits_;
  const ConnectionLimits connection_limits_;
  Budget& budget_;
  PoolEvents& events_;

  std::vector<ConnectionPtr> connections_;  // in use
  std::vector<ConnectionPtr> retiring_;     // answer what they have, then close
  std::vector<std::shared_ptr<Connector>> connecting_;
  struct Ending {
    int backend_pid;
    std::shared_ptr<SessionTerminator> terminator;
  };
  std::vector<Ending> ending_;  // sessions that are told to end; their oldest request is to blame

  std::deque<RequestPtr> waiting_;
  size_t waiting_bytes_ = 0;
  Clock::time_point last_used_ = Clock::now();

  int failures_ = 0;  // connects in a row
  Clock::time_point failing_since_{};
  Error last_failure_;
  Clock::time_point connect_not_before_{};
  bool is_shut_ = false;
};

}  // namespace raymesh::pg
