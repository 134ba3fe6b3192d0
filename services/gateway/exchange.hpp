// One request and its answer, from the request's first byte to the answer's last. Handlers see this
// class: they read the request, call services, and answer exactly once with reply() or fail().
// Lives on its session's I/O thread; kept by the worker between requests, so that its buffers are
// allocated once.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"
#include "libs/base/trace_context.hpp"
#include "libs/net/chunked_body.hpp"
#include "libs/net/http_request.hpp"
#include "libs/rpc/peer.hpp"
#include "raymesh/common/v1/calls.pb.h"
#include "services/gateway/api_key_cache.hpp"
#include "services/gateway/rate_gate.hpp"
#include "services/gateway/routes.hpp"

namespace raymesh::gateway {

class HttpSession;
struct Core;
struct Worker;

class Exchange {
 public:
  using Clock = std::chrono::steady_clock;
  /// Runs on the I/O thread with a service's reply, serialized.
  using Next = void (*)(Exchange&, Result<std::string>);

  // The request. Views are valid until the handler returns: what is needed later goes into `note`.
  std::string_view query() const { return query_; }
  /// With an open route: the rest of the path, still percent-encoded.
  std::string_view rest() const { return rest_; }
  std::string_view body() const { return body_; }
  std::string_view header(std::string_view name) const;
  const KeyInfo& key() const { return *key_; }
  Core& core() const;
  Worker& worker() const;

  enum class Stage : uint8_t {
    kHead,     // bytes of the head are missing
    kGate,     // whether and whereto it may pass is being decided
    kBody,     // bytes of the body are missing
    kHandler,  // a service is being asked
    kAnswer,   // the answer is being sent
  };

  /// What services are told about this request; handlers may add user and session.
  common::v1::CallContext context;
  /// For the handler's own use between its steps.
  std::string note;

  /// One call at a time; `next` may make another one. Cancelled when the client goes away.
  void call(rpc::Peer& peer, std::string_view method, std::string payload,
            const rpc::CallOptions& options, Next next);
  /// The options of most calls: the configured timeout, and whether it may be sent twice.
  rpc::CallOptions options(rpc::Repeat repeat) const;

  /// Parses a service's reply; false after a failure, which has then been answered.
  template <class Reply>
  bool take(const Result<std::string>& result, Reply& reply) {
    if (result.ok() && reply.ParseFromString(*result)) return true;
    fail(result.ok() ? Error(errors::kInternal, "a service's reply does not parse")
                     : result.error());
    return false;
  }

  /// `json` is the whole body.
  void reply(int status, std::string_view json);
  /// 200 with before + value + after; `value` is a view into `owner`, which is kept until it is
  /// sent, so that a large value is not copied.
  void reply_around(std::string_view before, std::string&& owner, std::string_view value,
                    std::string_view after);
  void fail(const Error& error);
  /// 405 with the methods that the path has.
  void fail_method(std::string_view allowed);

  /// Ready for another request; gives back memory that a large one needed.
  void reset();

 private:
  friend class HttpSession;

  void start_answer(int status, uint64_t content_length, uint32_t retry_after,
                    std::string_view allow);
  bool answered() const { return status_ != 0; }
  size_t unsent() const;

  HttpSession* session_ = nullptr;
  Stage stage_ = Stage::kHead;
  bool begun_ = false;             // ids are set, the request is counted
  bool waiting_ = false;           // in kGate or kHandler: somebody else has to answer first
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

  std::string_view query_, rest_, body_;
  const Route* route_ = nullptr;
  KeyInfoPtr key_;
  std::optional<Error> key_error_;
  bool key_answered_ = false;

  Clock::time_point started_{};
  TraceContext trace_;
  std::string method_, path_, request_id_, client_;

  Next next_ = nullptr;
  rpc::Peer* peer_ = nullptr;
  uint64_t ticket_ = 0;
  std::optional<Result<std::string>> result_;

  // The answer: out_, then tail_ (a view into owner_), then after_.
  int status_ = 0;
  std::string out_, owner_;
  std::string_view tail_, after_;
  size_t sent_ = 0;
};

}  // namespace raymesh::gateway
