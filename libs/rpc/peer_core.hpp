// The state behind a Peer on one I/O thread: calls in flight, endpoints and their streams, under
// one mutex, which is free nearly always, because callers on that thread come here and its streams
// live on it. Completions run outside of the mutex. Held by its PeerGroup and by every open stream.
//
// A call is a slot. It waits (no stream is up), is queued (its frames lie in a stream's outbox),
// sent, or ended. Its id on a stream holds the slot's index in the low bits, so that an answer
// finds its call without a map.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "libs/rpc/backoff.hpp"
#include "libs/rpc/calls_client.hpp"
#include "libs/rpc/deadline_queue.hpp"
#include "libs/rpc/frames.hpp"
#include "libs/rpc/outbox.hpp"
#include "libs/rpc/peer.hpp"
#include "libs/rpc/probe.hpp"
#include "libs/rpc/project_counts.hpp"

namespace raymesh::rpc {

/// What the cores of one peer share. Thread-safe.
struct PeerShared {
  explicit PeerShared(const PeerConfig& config);
  ProjectCounts projects;
  Probe probe;
};

class PeerCore final : public std::enable_shared_from_this<PeerCore> {
 public:
  using Lock = std::unique_lock<std::mutex>;

  /// `config.limits` are this core's share.
  PeerCore(PeerConfig config, std::shared_ptr<const Dialer> dialer,
           std::shared_ptr<PeerShared> shared, Place place);
  ~PeerCore();

  uint64_t call(std::string_view method, const common::v1::CallContext& context,
                std::string payload, const CallOptions& options, Peer::Done done);
  void cancel(uint64_t ticket);
  bool ready() const;
  /// Fails what is in flight and ends the streams.
  void close();
  /// Waits until they have ended, unless this is a thread that has to end them. Nothing is posted
  /// to the I/O threads afterwards.
  void wait_closed();

  /// The addresses there are now: streams are opened to new ones and drained to those gone.
  void set_addresses(const std::vector<std::string>& addresses);

  /// Whether a call was made since the last time this was asked.
  bool take_used();
  /// Runs on the core's thread. Any thread.
  void post(net::IoThreads::Task task);

  // Reactions of streams.
  void stream_up(CallsClient& stream);
  void stream_batch(CallsClient& stream, std::string_view batch);
  void stream_turn(CallsClient& stream);
  void stream_done(CallsClient& stream, const grpc_wire::Status& status);

 private:
  static constexpr uint32_t kIndexBits = 20;
  static constexpr uint64_t kIndexMask = (1u << kIndexBits) - 1;
  static constexpr std::chrono::milliseconds kRetryAfter{1'000};

  enum class State : uint8_t { kFree, kWaiting, kQueued };
  struct Slot {
    uint32_t index = 0;
    uint32_t generation = 0;
    State state = State::kFree;
    Repeat repeat = Repeat::kNever;
    bool large = false;  // the request goes as a transfer
    CallsClient* stream = nullptr;
    uint64_t id = 0;       // on the stream
    uint64_t segment = 0;  // of the stream's outbox that holds the Call frame
    uint64_t affinity = 0;
    uint8_t attempts = 0;  // streams that it was put on
    Clock::time_point started;
    Clock::time_point deadline;
    Clock::time_point wait_until;  // while waiting: then `unavailable`
    std::string method;
    Probe::Method* probe = nullptr;
    std::string context;  // serialized CallContext
    std::string payload;  // kept for repeating
    std::string project;
    Transfer transfer;
    std::string reply;
    uint32_t ungranted = 0;  // bytes of reply since the last Credit
    Peer::Done done;
  };
  struct Endpoint {
    std::string address;
    uint64_t hash = 0;
    Backoff backoff;
    std::shared_ptr<CallsClient> stream;  // the one for new calls, up or connecting
    size_t attempts = 0;
    bool removed = false;
    bool warned = false;  // the log knows that it is down
  };
  using EndpointPtr = std::shared_ptr<Endpoint>;
  /// Completions to run once the mutex is free.
  using Completed = std::vector<std::pair<Peer::Done, Result<std::string>>>;

  static uint64_t ticket_of(const Slot& slot);
  Slot* find(uint64_t ticket);
  Slot* find_on(const CallsClient& stream, uint64_t id);
  Slot& allocate();
  void end(Slot& slot, Result<std::string> result, Completed& completed);
  /// Takes the call off its stream.
  void detach(Slot& slot);
  void wait(Slot& slot, Clock::time_point until);
  void send(Slot& slot, CallsClient& stream);
  /// Takes new calls.
  static bool usable(const CallsClient* stream);
  CallsClient* choose(uint64_t affinity);
  void place_waiting();
  void connect(const EndpointPtr& endpoint);
  void reconnect_later(const EndpointPtr& endpoint);
  EndpointPtr endpoint_of(const CallsClient& stream) const;
  void arm(Clock::time_point at, uint64_t ticket);
  void set_timer();
  void on_timer(Clock::time_point at);
  void on_frame(CallsClient& stream, std::string_view bytes, Completed& completed);
  void on_chunk(CallsClient& stream, Slot& slot, std::string_view body, Completed& completed);
  void fail_over(CallsClient& stream, Completed& completed);
  void note_end(Endpoint& endpoint, const CallsClient& stream, const grpc_wire::Status& status);

  static void run(Completed& completed);
  static bool has_work(const CallsClient& stream);
  /// Asks for a turn of the stream's thread, if there is something to send.
  void flush(CallsClient& stream);
  void flush_all();

  const PeerConfig config_;
  const std::shared_ptr<const Dialer> dialer_;
  const std::shared_ptr<PeerShared> shared_;
  const Place place_;

  mutable std::mutex mutex_;
  std::condition_variable streams_ended_;
  std::deque<Slot> slots_;
  std::vector<uint32_t> free_;
  size_t live_ = 0;
  size_t reply_bytes_ = 0;        // of replies that are not complete yet
  std::deque<uint64_t> waiting_;  // tickets, oldest first; ended ones are skipped
  std::vector<EndpointPtr> endpoints_;
  size_t turn_ = 0;
  std::vector<std::shared_ptr<CallsClient>> streams_;  // all that have not ended
  DeadlineQueue deadlines_;
  std::string last_failure_;  // why a stream ended, for people
  bool used_ = false;
  bool closed_ = false;
  bool detached_ = false;  // the I/O threads may be gone
};

}  // namespace raymesh::rpc
