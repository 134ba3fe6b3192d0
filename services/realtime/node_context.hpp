// What the shards of a node share: limits, and references to everything that they use. Owned by the
// app, fixed before the shards start; any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>

#include "services/realtime/broker.hpp"
#include "services/realtime/channel_actor.hpp"
#include "services/realtime/channel_registry.hpp"
#include "services/realtime/probe.hpp"
#include "services/realtime/realtime_token.hpp"
#include "services/realtime/revocation_list.hpp"

namespace raymesh::net {
class TlsContext;
}

namespace raymesh::realtime {

/// The defaults are what ships.
struct NodeLimits {
  size_t max_connections = 50'000;
  /// Connections up to here all live on one shard.
  size_t one_shard_up_to = 256;
  size_t max_channels = 100'000;
  size_t max_connection_channels = 100;
  bool counts_connections = false;  // the broker has limits for identities or projects
  size_t max_message_bytes = 64u << 10;
  size_t max_backlog_bytes = 1u << 20;   // of one connection
  size_t max_frame_memory = 256u << 20;  // above it, backlogs over kFairBacklog are closed
  size_t max_queued_bytes = 64u << 20;   // above it, nobody may publish
  size_t max_relay_backlog = 16u << 20;  // of a gateway's stream: what it does not take is a gap
  size_t max_relay_subscriptions = 250'000;  // of a gateway's stream
  size_t max_head_bytes = 16u << 10;
  double accept_rate = 20'000;   // new connections per second; 0: no bound
  bool compression = false;      // permessage-deflate for clients that offer it
  double publish_rate = 10'000;  // messages per second and connection; 0: no bound
  std::chrono::milliseconds handshake_timeout{10'000};
  std::chrono::milliseconds ping_interval{30'000};
  std::chrono::milliseconds close_timeout{5'000};

  static constexpr size_t kFairBacklog = 64u << 10;
};

struct NodeContext {
  const NodeLimits& limits;
  const RealtimeTokens& tokens;
  ChannelRegistry& channels;
  const std::shared_ptr<ChannelOutlets> outlets;
  Broker& broker;
  RevocationList& revoked;
  Probe& probe;
  net::TlsContext* tls;  // nullptr: plain
  caf::actor_system& actors;
  std::atomic<size_t> connections{0};

  /// Handed to the shards and not yet sent, all shards together.
  size_t queued_bytes() const { return outlets->queued_bytes(); }
  /// Too much is waiting to be sent: publishers are not read, calls are refused.
  bool overloaded() const { return queued_bytes() > limits.max_queued_bytes; }
};

}  // namespace raymesh::realtime
