// What a service's handler sees of a call, whether it came as a unary gRPC method or on the `Calls`
// stream. A handler runs on an I/O thread of the server and must hand over at once (never block
// there); the Responder may be called from any thread, exactly once. Dropping it unanswered answers
// `internal`.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "libs/base/result.hpp"
#include "libs/base/trace_context.hpp"
#include "libs/base/unique_function.hpp"

namespace raymesh::rpc {

using Clock = std::chrono::steady_clock;

/// Who is on the other end of the connection, as proven by its certificate, the cluster key
/// (loopback without certificates), the in-process connection, or a service token.
struct Caller {
  enum class Kind { kGateway, kService, kToken };
  Kind kind = Kind::kService;
  std::string name;     // "gateway", "cli", ..., or the service token's id
  std::string project;  // of a service token: the only project that it may act in
};

/// One call. Shared by the handler and the stream, so that cancelling reaches work under way.
class Call {
 public:
  Caller caller;
  std::string project;
  std::string user;
  std::string session;
  std::string request_id;
  std::string client_address;
  TraceContext trace;  // the server's own span, child of the caller's
  Clock::time_point deadline;

  /// True once the caller has gone away or the deadline has passed: the answer would not be read.
  bool cancelled() const {
    return cancelled_.load(std::memory_order_relaxed) || Clock::now() >= deadline;
  }
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }

 private:
  std::atomic<bool> cancelled_{false};
};
using CallPtr = std::shared_ptr<Call>;

/// Where the serialized answer of a call on the stream goes. Any thread; once.
class ReplySink {
 public:
  virtual void reply(Result<std::string> answer) = 0;

 protected:
  ~ReplySink() = default;
};

/// Takes the answer of one call. Move-only; any thread; once.
template <class Reply>
class Responder {
 public:
  explicit Responder(UniqueFunction<void(Result<Reply>)> send) : send_(std::move(send)) {}
  Responder(Responder&&) noexcept = default;
  Responder& operator=(Responder&&) noexcept = default;
  ~Responder() {
    if (send_) send_(Error(errors::kInternal, "the handler gave no answer"));
  }

  void operator()(Result<Reply> result) {
    auto send = std::move(send_);
    if (send) send(std::move(result));
  }

 private:
  UniqueFunction<void(Result<Reply>)> send_;
};

template <class Request, class Reply>
using Handler = std::function<void(CallPtr, Request, Responder<Reply>)>;

}  // namespace raymesh::rpc
