// The service's end of one `Calls` stream: takes frames, runs handlers, sends replies in batches.
// Its connection holds it, and every call under way too. Frames come on the connection's thread,
// answers from any; one mutex guards the state, and no handler runs under it. What was answered in
// one turn of the connection's thread leaves together.
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "libs/rpc/deadline_queue.hpp"
#include "libs/rpc/dispatcher.hpp"
#include "libs/rpc/http2_connection.hpp"
#include "libs/rpc/outbox.hpp"

namespace raymesh::rpc {

class CallsStream final : public StreamHandler, public std::enable_shared_from_this<CallsStream> {
 public:
  CallsStream(Dispatcher& dispatcher, Caller caller, Http2Connection& connection,
              Http2Session::StreamId id);
  ~CallsStream() override;

  /// Tells the caller that the stream is up. Called once, after Dispatcher::open_stream.
  void start();
  /// Tells the other side to send no new calls.
  void drain();

  void on_message(std::string_view batch) override;
  void on_bad_message(std::string_view why, bool too_large) override;
  void on_end() override;
  void on_closed(std::string_view reason) override;
  void on_turn() override;

 private:
  struct StreamCall;
  using StreamCallPtr = std::shared_ptr<StreamCall>;
  using Lock = std::unique_lock<std::mutex>;

  void on_frame(std::string_view bytes);
  void on_call(uint64_t id, std::string_view body);
  void on_chunk(uint64_t id, std::string_view body);
  void on_credit(uint64_t id, std::string_view body);
  void on_cancel(uint64_t id);
  void on_timer(Clock::time_point at);

  void answer(StreamCall& call, Result<std::string> result);
  /// The call has ended (`error` null: well): frees what it holds. The caller keeps it alive.
  void erase(StreamCall& call, const ErrorKind* error);
  void fail(uint64_t id, const Error& error);
  void abandon_all();
  StreamCallPtr find(uint64_t id);
  void set_timer();
  /// Unlocks, and asks for a turn if there is something to do in it.
  void flush(Lock lock);

  Dispatcher& dispatcher_;
  const Caller caller_;
  const std::weak_ptr<Http2Connection> weak_connection_;  // from any thread
  Http2Connection* connection_;                           // on its thread; nullptr after on_closed
  const Http2Session::StreamId stream_id_;

  std::mutex mutex_;
  std::unordered_map<uint64_t, StreamCallPtr> calls_;
  Outbox outbox_;
  DeadlineQueue deadlines_;
  uint64_t last_id_ = 0;
  size_t held_bytes_ = 0;     // requests and replies of calls_
  bool turn_due_ = false;     // on_turn will come
  bool read_paused_ = false;  // too much to send: reading goes on when it is gone
  bool reads_done_ = false;   // the other side will send nothing more
  bool cancelled_ = false;    // the stream has broken or was cancelled
  bool finished_ = false;     // the trailers were sent
};

}  // namespace raymesh::rpc
