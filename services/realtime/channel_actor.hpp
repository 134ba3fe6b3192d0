// The channel actor: decides who is a member of a channel on this node and in which order messages
// go out, and hands each batch, encoded once, to the shards that have subscribers. Supervised by
// the ChannelRegistry, which spawns it with the first member and retires it after the last. Its
// mailbox is bounded by its senders: a socket's read at most per connection, and the node's bound
// on queued bytes.
//
// A shard sends with its own execution unit, so an actor that was idle runs on the shard's thread
// at once, and a message from a socket to its neighbours needs no other thread.
#pragma once

#include <caf/fwd.hpp>
#include <caf/typed_actor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "libs/actor/messages.hpp"
#include "libs/base/unique_function.hpp"
#include "services/realtime/channel.hpp"
#include "services/realtime/member.hpp"
#include "services/realtime/publish_batch.hpp"
#include "services/realtime/shard_inbox.hpp"

namespace raymesh::realtime {

/// Makes a connection a member; its shard gets Joined before anything that it is to receive.
struct Join {
  MemberPtr member;
};
struct Leave {
  ConnectionId connection;
};
/// `done`, if any, runs in the actor, after the shards have got the messages, with the number of
/// sockets that they go to.
struct Publish {
  std::shared_ptr<const PublishBatch> batch;
  std::shared_ptr<UniqueFunction<void(size_t delivered)>> done;
};
struct ReadPresence {
  std::shared_ptr<UniqueFunction<void(std::string json)>> done;
};
/// To itself: give up memory that a burst has left behind.
struct Trim {};
/// The last message it gets.
struct Retire {};

using ChannelActor =
    caf::typed_actor<caf::reacts_to<Join>, caf::reacts_to<Leave>, caf::reacts_to<Publish>,
                     caf::reacts_to<ReadPresence>, caf::reacts_to<Trim>, caf::reacts_to<Retire>>;

/// Where a node's channels hand over. Shared with the actors, which may end after the node.
struct ChannelOutlets {
  explicit ChannelOutlets(size_t shard_count) {
    for (size_t i = 0; i < shard_count; ++i) shards.push_back(std::make_unique<ShardInbox>());
  }

  SegmentMemory memory;  // before the inboxes, which may hold spans
  std::vector<std::unique_ptr<ShardInbox>> shards;
};

/// Starts it; it runs when its first message comes. `on_failed` is called on its last thread when
/// it dies of an error.
caf::actor spawn_channel_actor(caf::actor_system& system, const ChannelPtr& channel,
                               std::shared_ptr<ChannelOutlets> outlets,
                               std::function<void()> on_failed);

/// Sends to the channel's actor, from any thread.
void tell(const Channel& channel, Join message);
void tell(const Channel& channel, Leave message);
void tell(const Channel& channel, Publish message);
void tell(const Channel& channel, ReadPresence message);
void tell(const Channel& channel, Retire message);

}  // namespace raymesh::realtime

RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Join)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Leave)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Publish)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::ReadPresence)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Trim)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Retire)
