// The caller's side: a Peer stands for one service of the cluster, whatever number of endpoints it
// has. It keeps one multiplexed stream per endpoint, finds endpoints anew (static list, or DNS
// every 5 s), reconnects with backoff, repeats what is safe to repeat, and answers every call
// exactly once, at the latest when its timeout has passed. Thread-safe. Completions run on the
// I/O thread that made the call (the first one, when another thread did), on the timer thread, or
// on the caller's own (immediate refusals), and must hand over at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "libs/telemetry/metrics.hpp"

namespace raymesh::common::v1 {
class CallContext;
}

namespace raymesh::net {
class IoThreads;
}

namespace raymesh::rpc {

class Server;
struct Dialer;  // client_stream.hpp

/// Whether a call may be sent again after the stream it was sent on broke.
enum class Repeat { kSafe, kNever };

struct CallOptions {
  std::chrono::milliseconds timeout{10'000};
  Repeat repeat = Repeat::kNever;
  /// Calls with the same non-zero key go to the same endpoint while that is up (channels).
  uint64_t affinity = 0;
};

class Peer {
 public:
  using Done = UniqueFunction<void(Result<std::string>)>;

  virtual ~Peer() = default;

  /// Sends a serialized request. Returns a ticket for `cancel`, 0 when refused at once (done has
  /// run).
  virtual uint64_t call(std::string_view method, const common::v1::CallContext& context,
                        std::string payload, const CallOptions& options, Done done) = 0;
  /// The caller has lost interest; `done` runs with `cancelled`, unless the answer was first.
  virtual void cancel(uint64_t ticket) = 0;
  /// At least one stream of each thread is up.
  virtual bool ready() const = 0;
  /// For streams of other methods than `Calls` (ClientStream): the endpoints that there are now,
  /// and how they are connected to. Asking counts as use.
  virtual std::vector<std::string> addresses() = 0;
  virtual std::shared_ptr<const Dialer> dialer() const = 0;
  /// Calls in flight end with `unavailable`, new ones are refused, and the streams have ended when
  /// it returns (it does not wait on an I/O thread, which may not wait for itself). Before the
  /// threads of PeerConfig end.
  virtual void close() = 0;

  template <class Reply, class Request>
  uint64_t call(std::string_view method, const common::v1::CallContext& context,
                const Request& request, const CallOptions& options,
                UniqueFunction<void(Result<Reply>)> done) {
    return call(method, context, request.SerializeAsString(), options,
                Done([done = std::move(done)](Result<std::string> r) mutable {
                  if (!r.ok()) {
                    done(std::move(r).error());
                    return;
                  }
                  Reply reply;
                  if (!reply.ParseFromString(*r)) {
                    done(Error(errors::kInternal, "the reply does not parse"));
                    return;
                  }
                  done(std::move(reply));
                }));
  }
};

/// Which of the endpoints things that belong together go to: of those that are up, the one with the
/// highest score (rendezvous hashing). As with CallOptions::affinity.
uint64_t affinity_score(uint64_t affinity, std::string_view address);

/// Bounds of one peer. The defaults are what ships.
struct PeerLimits {
  size_t max_calls = 65'536;  // in flight and waiting, all projects
  size_t max_calls_per_project = 8'192;
  size_t max_request_bytes = 16u << 20;
  size_t max_reply_bytes = 64u << 20;
  size_t max_buffered_bytes = 512u << 20;  // of replies that are not complete yet, all calls
  uint32_t initial_credit = 256u << 10;    // bytes of reply before the first Credit
  /// How long a call waits when no endpoint is up, before `unavailable`.
  std::chrono::milliseconds max_wait{1'000};
};

struct PeerConfig {
  std::string service;                 // full gRPC name, "raymesh.storage.v1.Storage"
  std::vector<std::string> endpoints;  // "host:port", "unix:/path" or "dns:name:port"
  /// Whose certificate the service must show; empty: from its name ("storage").
  std::string role;
  PeerLimits limits;
  metrics::Registry* metrics = nullptr;  // may be null; must outlive the peer
  /// Where its connections live; calls are best made there. Must outlive the peer. Null: one thread
  /// of its own.
  net::IoThreads* threads = nullptr;
};

struct ClientCredentials;  // credentials.hpp

/// Errors: `invalid_value` for a malformed endpoint, one that is not loopback without certificates,
/// or certificates that cannot be read. Does not wait for a connection. The last reference closes
/// the peer.
Result<std::shared_ptr<Peer>> connect_peer(PeerConfig config, const ClientCredentials& credentials);
/// `raymesh dev`: the service runs in this process. `server` outlives the peer.
std::shared_ptr<Peer> in_process_peer(PeerConfig config, Server& server);

}  // namespace raymesh::rpc
