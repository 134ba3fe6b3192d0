// The channel actor: decides who is a member of a channel on this node and in which order messages
// go out, and hands each batch, encoded once for each dialect, to the shards that have subscribers.
// Its rules are in channel_state. Supervised by
// the ChannelRegistry, which spawns it with the first member and retires it after the last. Its
// mailbox is bounded by its senders: a socket's read at most per connection, and the node's bound
// on queued bytes.
//
// A shard sends with its own execution unit, so an actor that was idle runs on the shard's thread
// at once, and a message from a socket to its neighbours needs no other thread.
#pragma once

#include <caf/fwd.hpp>
#include <caf/make_message.hpp>
#include <caf/typed_actor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "libs/actor/messages.hpp"
#include "libs/base/unique_function.hpp"
#include "services/realtime/broker.hpp"
#include "services/realtime/channel.hpp"
#include "services/realtime/channel_rules.hpp"
#include "services/realtime/member.hpp"
#include "services/realtime/publish_batch.hpp"
#include "services/realtime/shard_inbox.hpp"

namespace raymesh::realtime {

class Probe;

/// Makes a connection a member; its shard gets Joined before anything that it is to receive.
struct Join {
  MemberPtr member;
  Audience audience;
  std::optional<Position> since;  // what has come after it is wanted, too
  uint32_t ticket = 0;            // comes back with Joined
};
struct Leave {
  ConnectionId connection;
  std::chrono::milliseconds handover{0};  // see Broker::leave
  // With a handover: that of the token that the client has now, by which it will be known.
  std::string token_id;
};
/// For a broker that leaves order and history to the actor: takes the next offsets for the batch.
/// `done`, if any, runs in the actor, after the shards have got the messages.
struct Publish {
  std::shared_ptr<const PublishBatch> batch;
  std::shared_ptr<UniqueFunction<void(Published)>> done;
};
/// What a broker brings: messages of the channel from anywhere in the cluster, in their order.
/// `first` is the place of the batch's first message. For an origin on this node the batch has its
/// ConnectionId.
struct Arrived {
  Position first;
  std::shared_ptr<const PublishBatch> batch;
};
/// Somebody has come or gone, anywhere in the cluster; only while this node watches.
struct MemberEvent {
  bool joined = true;
  std::string member_json;  // {"id":...,"identity"?:...,"data"?:...}
};
/// Member events before this one may be missing, those behind it are not. It stands for what could
/// not be told: nothing comes from the first event that was missed until here.
struct EventsMissed {};
/// The broker's link is back: the actor enters its members again if `reenter` says that they were
/// forgotten, then calls Broker::refreshed and compares the position with its own.
struct Refresh {
  bool reenter = false;
  uint64_t number = 0;
};
/// Of the members on this node, for a broker that knows no others.
struct ReadPresence {
  PresenceQuery query;
  std::shared_ptr<UniqueFunction<void(PresencePage)>> done;
};
struct ReadHistory {
  Position since;
  size_t limit = 0;
  std::shared_ptr<UniqueFunction<void(HistoryPage)>> done;
};
/// Nobody has it pinned, but it may keep history: it asks to be retired when that has expired.
struct Unused {};
/// The last message it gets.
struct Retire {};

// To itself: the broker's answers, and timers.
struct Attached {
  Result<Position> at;
};
struct Entered {
  ConnectionId connection;
  Result<std::string> id;
};
struct Refreshed {
  Result<Position> at;
};
struct Checked {
  Result<Position> at;
};
struct HistoryLoaded {
  std::shared_ptr<Result<HistoryPage>> page;
};
struct Expire {};
/// Give up memory that a burst has left behind.
struct Trim {};

using ChannelActor =
    caf::typed_actor<caf::reacts_to<Join>, caf::reacts_to<Leave>, caf::reacts_to<Publish>,
                     caf::reacts_to<Arrived>, caf::reacts_to<MemberEvent>,
                     caf::reacts_to<EventsMissed>, caf::reacts_to<Refresh>,
                     caf::reacts_to<ReadPresence>, caf::reacts_to<ReadHistory>,
                     caf::reacts_to<Unused>, caf::reacts_to<Retire>, caf::reacts_to<Attached>,
                     caf::reacts_to<Entered>, caf::reacts_to<Refreshed>, caf::reacts_to<Checked>,
                     caf::reacts_to<HistoryLoaded>, caf::reacts_to<Expire>, caf::reacts_to<Trim>>;

/// What a node's channels use and where they hand over. Shared with the actors, which may end after
/// the node.
struct ChannelOutlets {
  explicit ChannelOutlets(size_t shard_count) {
    for (size_t i = 0; i < shard_count; ++i) shards.push_back(std::make_unique<ShardInbox>());
  }

  /// Handed to the shards and not yet sent, all shards together.
  size_t queued_bytes() const {
    size_t queued = 0;
    for (const auto& inbox : shards) queued += inbox->queued_bytes();
    return queued;
  }

  ChannelRules rules;
  std::shared_ptr<Broker> broker;
  std::shared_ptr<Probe> probe;  // nullptr: nobody counts
  /// Retires a channel whose history has expired, if nobody has it pinned.
  void give_up(const ChannelPtr& channel) {
    const std::lock_guard lock(mutex_);
    if (give_up_) give_up_(channel);
  }
  /// By the registry, which takes it back at its end.
  void on_give_up(std::function<void(const ChannelPtr&)> call) {
    const std::lock_guard lock(mutex_);
    give_up_ = std::move(call);
  }
  SegmentMemory memory;  // before the inboxes, which may hold spans
  std::vector<std::unique_ptr<ShardInbox>> shards;

 private:
  std::mutex mutex_;
  std::function<void(const ChannelPtr&)> give_up_;  // guarded by mutex_
};

/// Starts it; it runs when its first message comes. `on_failed` is called on its last thread when
/// it dies of an error.
caf::actor spawn_channel_actor(caf::actor_system& system, const ChannelPtr& channel,
                               std::shared_ptr<ChannelOutlets> outlets,
                               std::function<void()> on_failed);

/// Sends to the channel's actor, from any thread.
void send(const Channel& channel, caf::message message);
template <class Message>
void tell(const Channel& channel, Message message) {
  send(channel, caf::make_message(std::move(message)));
}

}  // namespace raymesh::realtime

RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Join)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Leave)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Publish)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Arrived)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::MemberEvent)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::EventsMissed)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Refresh)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::ReadPresence)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::ReadHistory)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Unused)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Retire)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Attached)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Entered)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Refreshed)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Checked)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::HistoryLoaded)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Expire)
RAYMESH_ACTOR_MESSAGE(raymesh::realtime::Trim)
