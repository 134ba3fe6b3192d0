// One session with PostgreSQL that carries many requests at once. Each request is its own unit up
// to its own Sync, so its error or its commit is its own; the bytes of all requests that are queued
// in one turn of the loop leave in one write. Owned by a ConnectionPool; one I/O thread calls
// everything and gets all callbacks.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/lru_cache.hpp"
#include "libs/pg/connector.hpp"
#include "libs/pg/request.hpp"

namespace raymesh::pg {

struct ConnectionLimits {
  size_t prepared_statements = 256;
  /// A longer SQL text is parsed anew each time instead of taking a place among the prepared ones.
  size_t max_prepared_sql = 16u << 10;
  /// Rows above this are dropped as they arrive.
  size_t max_row_bytes = 17u << 20;
};

class PipelineConnection : public std::enable_shared_from_this<PipelineConnection> {
 public:
  /// A request that the connection could not answer before it broke.
  struct Unanswered {
    RequestPtr request;
    /// False: it certainly changed nothing. Either its Sync never left, or the server, which works
    /// in order and flushes its answer to one Sync before it reads on, ended without an answer to
    /// an earlier one.
    bool may_have_run;
  };

  class Owner {
   public:
    virtual ~Owner() = default;
    /// Requests have been answered: there is room. Once per turn of the loop.
    virtual void on_progress(PipelineConnection& connection) = 0;
    /// A read was answered by a session whose settings had been changed under it: run it again in
    /// another one.
    virtual void on_suspect(RequestPtr request) = 0;
    /// The connection is gone, oldest request first. The last call of this connection.
    virtual void on_lost(PipelineConnection& connection, std::vector<Unanswered> unanswered,
                         std::string reason) = 0;
  };

  PipelineConnection(boost::asio::io_context& io, ConnectionHandle connection, Owner& owner,
                     const ConnectionLimits& limits);
  ~PipelineConnection();

  /// Begins to read. After make_shared.
  void start();
  /// Queues; the bytes leave at the end of this turn of the loop. Not after close().
  void send(RequestPtr request);
  /// Closes every prepared statement, because the schema has changed.
  void forget_statements();
  /// Reads that wait behind the oldest request, to be run elsewhere; what the server answers to
  /// them here is dropped. Each request is taken at most once.
  std::vector<RequestPtr> take_reads_behind_head();
  /// No further callbacks; unanswered requests come back like in on_lost.
  std::vector<Unanswered> close();

  size_t in_flight() const { return entries_.size(); }
  size_t writes_in_flight() const { return writes_in_flight_; }
  bool is_open() const { return open_; }
  /// When the oldest request became the oldest; meaningless when nothing is in flight.
  Clock::time_point head_since() const { return head_since_; }
  Clock::time_point opened_at() const { return opened_at_; }
  uint64_t statements_run() const { return statements_run_; }
  int backend_pid() const { return backend_pid_; }
  /// A setting of the session is not what it was at the start, so it should not be used any more.
  bool is_tainted() const {
    return tainted_ || (!changed_settings_.empty() && resets_in_flight_ == 0);
  }

 private:
  struct Prepared {
    std::string name;
    std::string key;
    ResultColumns columns;
    bool described = false;
  };
  using PreparedPtr = std::shared_ptr<Prepared>;

  struct Entry {
    RequestPtr request;  // null: one of our own (reset, close), or taken away
    PreparedPtr prepared;
    bool is_reset = false;
    bool is_write = false;
    bool started_tainted = false;
    bool began = false;  // the sink has seen begin()
    bool wants_rows = true;
    uint64_t end_offset = 0;  // in the stream of bytes to the server
    uint64_t affected_rows = 0;
    std::unique_ptr<ServerError> error;
  };

  void append(RequestPtr request);
  PreparedPtr prepare(const Request& request);
  void push_entry(Entry entry);
  void schedule_flush();
  void flush();
  void wait_writable();
  void wait_readable();
  void read_turn();
  /// Handles what has arrived, up to a bound; true when there may be more.
  bool read_available();
  /// False when the stream is not what it should be.
  bool handle(const MessageReader::Message& message);
  bool handle_row(Entry& entry, std::string_view body);
  void handle_error(std::string_view body);
  void handle_parameter(std::string_view body);
  bool finish_head(char transaction_status);
  void deliver(Entry entry);
  void lose(std::string reason);
  std::vector<Unanswered> shut();
  /// Bytes moved, 0 when the socket would block, -1 when the connection is gone.
  ssize_t read_some(std::span<char> room);
  ssize_t write_some(std::string_view bytes);

  boost::asio::io_context& io_;
  ConnectionHandle connection_;
  void* ssl_;  // OpenSSL's SSL*, or nullptr
  Owner& owner_;
  const ConnectionLimits limits_;
  boost::asio::posix::stream_descriptor descriptor_;
  const bool is_unix_;
  const int backend_pid_;
  const Clock::time_point opened_at_;

  std::deque<Entry> entries_;
  Clock::time_point head_since_{};
  size_t writes_in_flight_ = 0;
  uint64_t statements_run_ = 0;
  bool open_ = true;
  bool tainted_ = false;  // for good: a reset failed
  size_t resets_in_flight_ = 0;
  bool processing_ = false;  // inside read_available(), which flushes at its end
  bool progress_ = false;    // ... and has finished a request
  bool clean_end_ = false;   // everything that the server ever sent has been read
  std::string fatal_;        // what the server said before it closed

  LruCache<std::string, PreparedPtr> prepared_;
  std::string name_prefix_;  // unguessable, so that the project's code cannot take our names
  uint64_t names_used_ = 0;

  std::string out_;
  size_t out_written_ = 0;
  uint64_t offset_ = 0;  // of out_'s first byte
  bool flush_scheduled_ = false;
  bool waiting_writable_ = false;
  bool write_failed_ = false;

  MessageReader reader_;
  std::vector<Field> fields_;
  std::map<std::string, std::string, std::less<>> initial_settings_;
  std::map<std::string, std::string, std::less<>> changed_settings_;
};

}  // namespace raymesh::pg
