// One realtime node: the public port, its shards, the channels and the broker. It knows nothing of
// gRPC or configuration; the app makes it from options, tests make it directly. start, drain and
// stop from one thread; the rest is thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/result.hpp"
#include "services/realtime/node_context.hpp"
#include "services/realtime/shard.hpp"

namespace raymesh::realtime {

struct NodeConfig {
  std::string listen = "127.0.0.1:4004";  // net::parse_endpoints' form
  size_t threads = 0;                     // shards; 0: one per core
  NodeLimits limits;
  ChannelRules rules;
  ConnectionLimits connection_limits;
  /// Makes the broker; empty: a MemoryBroker.
  std::function<std::shared_ptr<Broker>(BrokerNode)> make_broker;
  std::shared_ptr<net::TlsContext> tls;  // nullptr: plain
};

class RealtimeNode {
 public:
  /// Errors name the address.
  static Result<std::unique_ptr<RealtimeNode>> start(NodeConfig config,
                                                     const RealtimeTokens& tokens,
                                                     caf::actor_system& actors,
                                                     metrics::Registry& metrics);
  ~RealtimeNode();

  int port() const { return port_; }
  Probe& probe() { return *probe_; }
  const NodeLimits& limits() const { return config_.limits; }
  size_t connections() const { return context_.connections.load(std::memory_order_relaxed); }
  size_t channels() const { return channels_.size(); }

  /// All run `done` on any thread; see Broker. Errors: `overloaded`.
  void publish(const std::string& project, const std::string& channel, std::string_view payload,
               Answer<Published> done);
  void presence(const std::string& project, const std::string& channel, PresenceQuery query,
                Answer<PresencePage> done);
  void history(const std::string& project, const std::string& channel, Position since, size_t limit,
               Answer<HistoryPage> done);
  void revoke(Revocation revocation, Answer<RevokeReport> done);
  /// For operators; see ChannelRegistry.
  std::string hot_channels_json(size_t most) { return channels_.hot_json(most); }
  Status broker_ready() const { return broker_->ready(); }

  /// Open sockets of each shard.
  std::vector<size_t> connections_by_shard() const;

  /// The shards' threads, for those whose calls should run there. They must be done with them
  /// before stop().
  std::vector<net::Loop*> loops();
  /// The shard whose loop that is; nullptr: none's.
  Shard* shard_of(const net::Loop& loop);

  /// Stops accepting, closes all connections with 1012, spread over a part of `grace` that grows
  /// with their number, and waits until they are gone, at most for `grace`.
  void drain(std::chrono::milliseconds grace);
  /// The same, if that has not been; then stops the shards and the broker.
  void stop(std::chrono::milliseconds grace);

 private:
  RealtimeNode(NodeConfig config, const RealtimeTokens& tokens, caf::actor_system& actors,
               metrics::Registry& metrics);
  std::shared_ptr<Broker> make_broker();
  Status listen();
  ShardInbox& shard_for(const Channel& channel);
  void close_channel(const ChannelPtr& channel);
  void revoke_here(const Revocation& revocation, UniqueFunction<void(uint64_t closed)> done);

  NodeConfig config_;
  std::shared_ptr<Probe> probe_;
  std::shared_ptr<ChannelOutlets> outlets_;
  RevocationList revoked_;
  std::shared_ptr<Broker> broker_;
  ChannelRegistry channels_;
  NodeContext context_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<int> listen_fds_;  // until they are a shard's
  int port_ = 0;
  std::atomic<bool> stopping_{false};
};

}  // namespace raymesh::realtime
