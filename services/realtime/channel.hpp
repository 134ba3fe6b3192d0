// One channel of a project on this node, as everybody here refers to it. Each shard keeps its own
// part in it, so that a message on its way to a shard's subscribers needs no lookup and no lock:
// the actor decides who is a member and in which order messages go, the shards hold the sockets.
// Made and given up by the ChannelRegistry. `on(i)` belongs to shard i's thread; all else is fixed
// from before the channel is shared, so any thread may read it.
#pragma once

#include <caf/actor.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "services/realtime/connection_id.hpp"
#include "services/realtime/segment.hpp"

namespace raymesh::realtime {

class Connection;

/// A shard's part of a channel.
struct LocalChannel {
  struct Subscriber {
    Connection* connection;
    uint32_t subscription;  // which of the connection's
  };
  /// What the actor has handed over and the next flush will send.
  struct Pending {
    Span span;
    ConnectionId origin;
    uint32_t messages;
  };

  std::vector<Subscriber> subscribers;
  // Invariant: not empty only between taking from the inbox and the flush after it.
  std::vector<Pending> pending;
};

class Channel {
 public:
  Channel(std::string project, std::string name, size_t shards)
      : project_(std::move(project)), name_(std::move(name)), local_(shards) {}

  const std::string& project() const { return project_; }
  const std::string& name() const { return name_; }
  LocalChannel& on(size_t shard) { return local_[shard]; }
  const caf::actor& actor() const { return actor_; }

 private:
  friend class ChannelRegistry;
  std::string project_;
  std::string name_;
  std::vector<LocalChannel> local_;
  caf::actor actor_;
  size_t pins_ = 0;  // guarded by the registry
};
using ChannelPtr = std::shared_ptr<Channel>;

}  // namespace raymesh::realtime
