// One channel of a project on this node, as everybody here refers to it. Each shard keeps its own
// part in it, so that a message on its way to a shard's subscribers needs no lookup and no lock:
// the actor decides who is a member and in which order messages go, the shards hold the sockets.
// Made and given up by the ChannelRegistry. `on(i)` belongs to shard i's thread; all else is fixed
// from before the channel is shared, so any thread may read it.
#pragma once

#include <algorithm>
#include <atomic>
#include <caf/actor.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "services/realtime/channel_rules.hpp"
#include "services/realtime/connection_id.hpp"
#include "services/realtime/dialect.hpp"
#include "services/realtime/position.hpp"
#include "services/realtime/segment.hpp"

namespace raymesh::realtime {

class Connection;
struct RelayFeed;

/// The key of each frame of a span, for channels that conflate.
using FrameKeys = std::shared_ptr<const std::vector<std::string>>;

/// A shard's part of a channel: its subscribers, apart by what they get.
struct LocalChannel {
  struct Subscriber {
    Connection* connection;
    uint32_t subscription;  // which of the connection's
  };
  /// What the actor has handed over and the next flush will send.
  struct Pending {
    Span span;
    Position last;      // of the span's last message; none for an event
    uint32_t messages;  // 0: an event
    ConnectionId origin;
    FrameKeys keys;
  };
  struct Group {
    Audience audience;
    std::vector<Subscriber> subscribers;
    // Invariant: not empty only between taking from the inbox and the flush after it.
    std::vector<Pending> pending;
  };

  /// Made with its first subscriber.
  Group& group(Audience audience) {
    for (Group& g : groups)
      if (g.audience == audience) return g;
    return groups.emplace_back(Group{audience, {}, {}});
  }
  bool has_pending() const {
    return std::any_of(groups.begin(), groups.end(),
                       [](const Group& g) { return !g.pending.empty(); });
  }

  std::vector<Group> groups;
  /// What gateways get of it (Dialect::kRelay).
  std::vector<RelayFeed*> feeds;
};

class Channel {
 public:
  /// `rule` outlives the channel and its actor (ChannelOutlets).
  Channel(std::string project, std::string name, const ChannelRule& rule, size_t shards)
      : project_(std::move(project)), name_(std::move(name)), rule_(rule), local_(shards) {}

  const std::string& project() const { return project_; }
  const std::string& name() const { return name_; }
  const ChannelRule& rule() const { return rule_; }
  LocalChannel& on(size_t shard) { return local_[shard]; }
  const caf::actor& actor() const { return actor_; }
  /// Since it was made, for operators; its actor alone adds.
  struct Totals {
    std::atomic<uint64_t> messages{0};
    std::atomic<uint64_t> deliveries{0};
    std::atomic<uint64_t> bytes{0};  // of payloads, once for each message
    std::atomic<uint64_t> members{0};
  };
  Totals totals;
  /// Somebody on this node wants join and leave events; kept by the broker, for the broker.
  std::atomic<bool> watched{false};

 private:
  friend class ChannelRegistry;
  std::string project_;
  std::string name_;
  const ChannelRule& rule_;
  std::vector<LocalChannel> local_;
  caf::actor actor_;
  // Guarded by the registry.
  size_t pins_ = 0;
  uint64_t seen_messages_ = 0, seen_deliveries_ = 0, seen_bytes_ = 0;
  std::chrono::steady_clock::time_point seen_at_ = std::chrono::steady_clock::now();
};
using ChannelPtr = std::shared_ptr<Channel>;

}  // namespace raymesh::realtime
