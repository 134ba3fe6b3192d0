// The service's end of one `Calls` stream: takes frames, runs handlers, sends replies in batches.
// gRPC owns it (through `keep_`) until OnDone, and every call under way holds it too. Reactions
// come from gRPC threads, answers from any thread; one mutex guards the state, and neither handlers
// nor gRPC operations run under it.
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "libs/rpc/calls_service.hpp"
#include "libs/rpc/deadline_queue.hpp"
#include "libs/rpc/dispatcher.hpp"
#include "libs/rpc/outbox.hpp"

namespace raymesh::rpc {

class CallsStream final : public CallsReactor, public std::enable_shared_from_this<CallsStream> {
 public:
  CallsStream(Dispatcher& dispatcher, Caller caller);
  ~CallsStream() override;

  /// Starts reading. Called once, after Dispatcher::open_stream.
  void start();
  /// Tells the other side to send no new calls.
  void drain();

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  struct StreamCall;
  using StreamCallPtr = std::shared_ptr<StreamCall>;
  using Lock = std::unique_lock<std::mutex>;

  void on_frame(std::string_view bytes);
  void on_call(uint64_t id, std::string_view body);
  void on_chunk(uint64_t id, std::string_view body);
  void on_credit(uint64_t id, std::string_view body);
  void on_cancel(uint64_t id);
  void on_deadline();

  void answer(StreamCall& call, Result<std::string> result);
  /// The call has ended (`error` null: well): frees what it holds. The caller keeps it alive.
  void erase(StreamCall& call, const ErrorKind* error);
  void fail(uint64_t id, const Error& error);
  void abandon_all();
  StreamCallPtr find(uint64_t id);
  void arm_deadline(Clock::time_point at, uint64_t id);
  /// Starts the next gRPC operation, if one is due; unlocks.
  void flush(Lock lock);
  void read();

  Dispatcher& dispatcher_;
  const Caller caller_;
  std::shared_ptr<CallsStream> keep_;
  grpc::ByteBuffer incoming_;
  grpc::ByteBuffer outgoing_;

  std::mutex mutex_;
  std::unordered_map<uint64_t, StreamCallPtr> calls_;
  Outbox outbox_;
  DeadlineQueue deadlines_;
  Clock::time_point alarm_ = Clock::time_point::max();  // when the timer is due
  uint64_t last_id_ = 0;
  size_t held_bytes_ = 0;     // requests and replies of calls_
  bool corked_ = false;       // a batch is being read: answers wait for its end
  bool writing_ = false;      // Invariant: true exactly while a StartWrite is in flight
  bool read_paused_ = false;  // too much to send: reads go on when it is gone
  bool reads_done_ = false;   // the other side will send nothing more
  bool cancelled_ = false;    // the stream has broken or was cancelled
  bool finished_ = false;     // Finish was called
};

}  // namespace raymesh::rpc
