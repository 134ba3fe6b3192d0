// The unary door of a service: one call, answered once by the handler's Responder, by cancellation
// or by the deadline, whichever is first. Its connection holds it until the stream is gone, the
// handler's Responder for as long as it likes: what comes late finds the call closed.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "libs/rpc/dispatcher.hpp"
#include "libs/rpc/http2_connection.hpp"
#include "libs/rpc/method_table.hpp"

namespace raymesh::rpc {

class UnaryCall final : public StreamHandler,
                        public ReplySink,
                        public std::enable_shared_from_this<UnaryCall> {
 public:
  UnaryCall(Dispatcher& dispatcher, const Method& method, Caller caller,
            std::chrono::nanoseconds timeout, Http2Connection& connection,
            Http2Session::StreamId id);

  Clock::time_point deadline() const { return call_->deadline; }
  /// The deadline has passed. On the connection's thread.
  void time_is_up();

  void on_message(std::string_view message) override;
  void on_bad_message(std::string_view why, bool too_large) override;
  void on_end() override;
  void on_closed(std::string_view reason) override;
  void on_turn() override;
  void reply(Result<std::string> answer) override;

 private:
  bool admit(const common::v1::CallContext& context);

  Dispatcher& dispatcher_;
  const Method& method_;
  const std::weak_ptr<Http2Connection> weak_connection_;  // from any thread
  Http2Connection* connection_;                           // on its thread; nullptr after on_closed
  const Http2Session::StreamId stream_id_;
  const CallPtr call_;
  const Clock::time_point started_;
  std::optional<std::string> request_;

  std::mutex mutex_;
  bool admitted_ = false;                      // guarded by mutex_: counted by the dispatcher
  bool answered_ = false;                      // guarded by mutex_
  std::optional<Result<std::string>> answer_;  // guarded by mutex_, until it is sent
};

}  // namespace raymesh::rpc
