// One call of a raystream session and its answer: what an HTTP request is to HttpExchange. Lets it
// pass as a request passes (key, rate, capability, size), then runs the handler of the HTTP API for
// arguments in JSON, or passes arguments in Protobuf on to the service. Lives on its session's I/O
// thread; what it waits for may outlive the session.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "libs/base/trace_context.hpp"
#include "services/gateway/exchange.hpp"
#include "services/gateway/rate_gate.hpp"
#include "services/gateway/raystream_methods.hpp"
#include "services/gateway/raystream_wire.hpp"

namespace raymesh::gateway {

class RaystreamCall;
class RaystreamSession;

/// The open ones of a session, by id.
using RaystreamCalls = std::unordered_map<uint64_t, std::shared_ptr<RaystreamCall>>;

class RaystreamCall final : public Exchange, public std::enable_shared_from_this<RaystreamCall> {
 public:
  RaystreamCall() = default;
  ~RaystreamCall() override;

  /// Begins it, or the next one in the same memory. `method` nullptr: there is none of the name.
  void open(RaystreamSession& session, const CallFrame& first, const RaystreamMethod* method);

  uint64_t id() const { return id_; }
  const RaystreamMethod* method() const { return method_; }
  bool complete() const { return complete_; }
  bool answered() const { return status_ != 0; }
  Clock::time_point begun() const { return begun_; }

  /// Why the first frame alone is enough to refuse it.
  std::optional<Error> refusal(const CallFrame& first);
  /// More of the arguments; `more`: and not the last. An error: they are too many, or there is no
  /// memory for them.
  Status add(std::string_view args, bool more);
  /// All arguments are here: lets it pass and runs it.
  void start();
  /// A step that it waited for has come.
  void resumed() { run(); }
  void take_result();
  /// The session has gone: cancels what is under way.
  void abandon();
  /// The answer is sealed: the session has nothing to do with it any more.
  void spent();
  /// As if it were new but for the memory of its buffers. Nobody else holds it.
  void reset();

  std::string_view access_token() const override;
  std::string_view idempotency_key() const override { return idempotency_key_; }
  void reply(int status, std::string_view json) override;
  void reply_around(std::string_view before, std::string&& owner, std::string_view value,
                    std::string_view after) override;
  void fail(const Error& error) override;

  // The answer, on its way out.
  int status() const { return status_; }
  std::string_view unsent() const { return std::string_view(result_bytes_).substr(sent_); }
  bool is_first_piece() const { return sent_ == 0; }
  void sent(size_t bytes) { sent_ += bytes; }
  size_t args_bytes() const { return args_bytes_; }
  Clock::time_point started() const { return started_; }
  std::string_view request_id() { return identify(), request_id_; }
  /// A line in the access log; a round trip that was only asked for to see one has none.
  bool is_logged() const { return !method_ || method_->route || is_attach_ || status_ >= 400; }
  std::string_view trace_id() const;

 private:
  void send_call(std::string_view method, std::string payload,
                 const rpc::CallOptions& options) override;
  void run();
  void identify();
  bool find_key();
  bool fail_key();
  bool within_rate();
  void dispatch();
  void echo();
  void forward();
  /// On behalf of the session's user.
  void forward_with_user(const rpc::CallOptions& options);
  void begin_attach();
  void attach();
  void finish_attach(uint64_t token_expires_at);
  void answer_attach(uint64_t expires_at);
  static void on_token_verified(Exchange& ex, Result<std::string> result);
  void subscribe();
  void subscribe_as_user();
  void answer(int status);
  void release_memory();
  const std::string& key_hash() const;

  RaystreamSession* session_ = nullptr;  // nullptr: it has gone, or needs the call no more
  uint64_t id_ = 0;
  const RaystreamMethod* method_ = nullptr;
  bool json_ = false;
  bool complete_ = false;
  bool is_attach_ = false;
  bool key_answered_ = false;
  std::optional<Error> key_error_;
  RateGate::Passed passed_ = RateGate::Passed::kNothing;

  std::string args_, path_text_, query_text_, idempotency_key_;
  std::chrono::milliseconds forward_timeout_{0};
  size_t args_bytes_ = 0;
  uint64_t reserved_ = 0;  // of Core::body_memory
  Clock::time_point begun_{};
  Clock::time_point started_{};
  TraceContext trace_;
  bool has_trace_ = false;
  bool waited_ = false;  // so that started_ is not now

  // Of auth.attach.
  bool attaching_ = false;  // no other one may run meanwhile
  std::string attach_hash_;
  std::string attach_token_;

  int status_ = 0;
  std::string result_bytes_;
  size_t sent_ = 0;
};

}  // namespace raymesh::gateway
