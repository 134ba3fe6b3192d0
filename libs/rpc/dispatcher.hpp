// What both doors of a server share: it decides who calls (certificate, in-process connection,
// cluster key, service token), what the caller may do and say, and counts calls. Owned by the
// Server, which outlives every call; thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libs/crypto/key_ring.hpp"
#include "libs/rpc/frames.hpp"
#include "libs/rpc/probe.hpp"
#include "libs/rpc/project_counts.hpp"
#include "libs/rpc/server.hpp"

namespace raymesh::rpc {

class CallsStream;

/// What a caller shows of itself.
struct Proof {
  bool in_process = false;               // the connection was made by Server::connect_in_process
  std::vector<std::string> certificate;  // DNS names of the verified certificate
  std::string_view authorization;        // metadata, empty when there is none
  std::string_view cluster_key;
};

class Dispatcher {
 public:
  static Result<std::unique_ptr<Dispatcher>> create(const ServerConfig& config,
                                                    MethodTable methods);

  /// Errors: `unauthenticated`.
  Result<Caller> identify(const Proof& proof) const;
  /// Errors: `unknown_method`, `permission_denied`.
  Result<const Method*> authorize(std::string_view method, const Caller& caller) const;
  /// The same for a method that is a stream; nullptr: there is none of this name.
  Result<const StreamMethod*> authorize_stream(std::string_view method, const Caller& caller) const;
  /// Fills in on whose behalf the call is. Errors: `untrusted_context`, `wrong_project`,
  /// `invalid_request`.
  Status accept_context(Call& call, const Caller& caller, const frames::ContextBody& context) const;

  /// Every call that was admitted is released once. Errors: `overloaded`.
  Status admit(std::string_view project);
  void release(std::string_view project);

  const ServerLimits& limits() const { return limits_; }
  Probe& probe() { return probe_; }

  /// A stream counts from `open_stream` to `close_stream`. Errors: `unavailable` (stopping),
  /// `overloaded`.
  Status open_stream(const std::shared_ptr<CallsStream>& stream);
  void close_stream(CallsStream* stream);
  /// Drain to every stream, now and from now on; then waits until all have ended, at most `grace`.
  void drain(std::chrono::milliseconds grace);

 private:
  Dispatcher(const ServerConfig& config, MethodTable methods);
  Result<Caller> identify_token(std::string_view bearer) const;

  const ServerLimits limits_;
  const bool tls_;
  const std::string cluster_key_;
  const MethodTable methods_;
  std::optional<crypto::KeyRing> token_keys_;
  ProjectCounts projects_;
  Probe probe_;

  std::mutex mutex_;
  std::condition_variable stream_closed_;
  std::unordered_map<CallsStream*, std::weak_ptr<CallsStream>> streams_;
  bool draining_ = false;
};

}  // namespace raymesh::rpc
