// One request and its answer, as handlers see them: they read the request, call services, and
// answer exactly once with reply() or fail(). HttpExchange and RaystreamCall are the two forms in
// which requests come, so a handler serves both and nothing of it exists twice. Lives on one I/O
// thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"
#include "libs/rpc/peer.hpp"
#include "raymesh/common/v1/calls.pb.h"
#include "services/gateway/api_key_cache.hpp"

namespace raymesh::gateway {

struct Core;
struct Worker;

class Exchange {
 public:
  using Clock = std::chrono::steady_clock;
  /// Runs on the I/O thread with a service's reply, serialized.
  using Next = void (*)(Exchange&, Result<std::string>);

  virtual ~Exchange() = default;

  // The request. Views are valid until the handler returns: what is needed later goes into `note`.
  std::string_view query() const { return query_; }
  /// With an open route: the rest of the path, still percent-encoded.
  std::string_view rest() const { return rest_; }
  std::string_view body() const { return body_; }
  /// What the name that was called says already ("find" of db.find); empty: the body says it.
  std::string_view operation() const { return operation_; }
  /// The user's; empty: none was sent.
  virtual std::string_view access_token() const = 0;
  /// Empty: none was sent.
  virtual std::string_view idempotency_key() const = 0;
  const KeyInfo& key() const { return *key_; }
  Core& core() const;
  Worker& worker() const { return *worker_; }

  /// What services are told about this request; handlers may add user and session.
  common::v1::CallContext context;
  /// For the handler's own use between its steps.
  std::string note;
  /// The same for what comes after a step that others have, too (with_user).
  void (*then)(Exchange&) = nullptr;

  /// One call at a time; `next` may make another one. Cancelled when the client goes away.
  void call(rpc::Peer& peer, std::string_view method, std::string payload,
            const rpc::CallOptions& options, Next next);
  /// The options of most calls: the configured timeout, or the shorter one that the client wants,
  /// and whether it may be sent twice.
  rpc::CallOptions options(rpc::Repeat repeat) const;
  /// The same with another timeout than the configured one.
  rpc::CallOptions options(rpc::Repeat repeat, std::chrono::milliseconds timeout) const;

  /// Calls about one channel go to one node, as long as it is up: its order and presence live
  /// there.
  rpc::CallOptions channel_options(std::string_view channel, rpc::Repeat repeat) const;

  /// Parses a service's reply; false after a failure, which has then been answered.
  template <class Reply>
  bool take(const Result<std::string>& result, Reply& reply) {
    if (result.ok() && reply.ParseFromString(*result)) return true;
    fail(result.ok() ? Error(errors::kInternal, "a service's reply does not parse")
                     : result.error());
    return false;
  }

  /// `json` is the whole body.
  virtual void reply(int status, std::string_view json) = 0;
  /// 200 with before + value + after; `value` is a view into `owner`, which is kept until it is
  /// sent, so that a large value is not copied.
  virtual void reply_around(std::string_view before, std::string&& owner, std::string_view value,
                            std::string_view after) = 0;
  virtual void fail(const Error& error) = 0;

 protected:
  /// Sends the call whose peer_ and next_ are set.
  virtual void send_call(std::string_view method, std::string payload,
                         const rpc::CallOptions& options) = 0;
  /// As if it were new, for the next request.
  void clear();
  /// Empties a buffer for its next use; gives the memory back when it is more than `keep`.
  static void recycle(std::string& buffer, size_t keep);

  Worker* worker_ = nullptr;
  std::string_view query_, rest_, body_, operation_;
  KeyInfoPtr key_;
  std::string request_id_, client_;
  std::chrono::milliseconds wanted_timeout_{0};  // 0: the client named none

  bool waiting_ = false;  // somebody else has to answer first
  Next next_ = nullptr;
  rpc::Peer* peer_ = nullptr;
  uint64_t ticket_ = 0;
  std::optional<Result<std::string>> result_;
};

}  // namespace raymesh::gateway
