// One HTTP request and its answer, from the request's first byte to the answer's last. Belongs to
// its session's I/O thread; kept by the worker between requests, so that its buffers are allocated
// once.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "libs/base/trace_context.hpp"
#include "libs/net/chunked_body.hpp"
#include "libs/net/http_request.hpp"
#include "services/gateway/exchange.hpp"
#include "services/gateway/rate_gate.hpp"
#include "services/gateway/routes.hpp"

namespace raymesh::gateway {

class HttpSession;

class HttpExchange final : public Exchange {
 public:
  enum class Stage : uint8_t {
    kHead,     // bytes of the head are missing
    kGate,     // whether and whereto it may pass is being decided
    kBody,     // bytes of the body are missing
    kHandler,  // a service is being asked
    kAnswer,   // the answer is being sent
  };

  std::string_view access_token() const override;
  std::string_view idempotency_key() const override;
  void reply(int status, std::string_view json) override;
  void reply_around(std::string_view before, std::string&& owner, std::string_view value,
                    std::string_view after) override;
  void fail(const Error& error) override;
  /// 405 with the methods that the path has.
  void fail_method(std::string_view allowed);

  /// Ready for another request; gives back memory that a large one needed.
  void reset();

 private:
  friend class HttpSession;

  void send_call(std::string_view method, std::string payload,
                 const rpc::CallOptions& options) override;
  void start_answer(int status, uint64_t content_length, uint32_t retry_after,
                    std::string_view allow);
  bool answered() const { return status_ != 0; }
  size_t unsent() const;

  HttpSession* session_ = nullptr;
  Stage stage_ = Stage::kHead;
  bool begun_ = false;             // ids are set, the request is counted
  bool head_request_ = false;      // HEAD
  bool close_ = false;             // the connection ends with this answer
  bool expects_continue_ = false;  // 100 (Continue) is still to be sent
  bool linger_ = false;            // close_ with bytes unread
  RateGate::Passed passed_ = RateGate::Passed::kNothing;

  // The request's bytes when they had to be kept: its head, then its body, then what follows.
  std::string in_;
  std::string decoded_;  // a chunked body
  std::optional<net::ChunkedBody> chunks_;
  size_t head_size_ = 0;
  uint64_t body_size_ = 0;  // in in_; 0 for a chunked one
  uint64_t reserved_ = 0;   // of Core::body_memory
  uint64_t max_body_ = 0;
  bool chunked_ = false;

  const Route* route_ = nullptr;
  std::optional<Error> key_error_;
  bool key_answered_ = false;

  Clock::time_point started_{};
  TraceContext trace_;
  std::string method_, path_;

  // The answer: out_, then tail_ (a view into owner_), then after_.
  int status_ = 0;
  std::string out_, owner_;
  std::string_view tail_, after_;
  size_t sent_ = 0;
};

}  // namespace raymesh::gateway
