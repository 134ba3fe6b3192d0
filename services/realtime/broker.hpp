// What connects the channels of all realtime nodes, in two forms: MemoryBroker for a single node,
// and RedisBroker for many. A broker gives each message its place in the channel's one order, takes
// it to every node that has subscribers, keeps history, and knows who is present in the whole
// cluster. What is for a channel here goes to its actor (channel_actor.hpp: Publish, Arrived,
// MemberEvent, EventsMissed, Refresh).
//
// Thread-safe. An answer runs on any thread, also within the call, and must hand over at once.
// Every answer comes exactly once; with a deadline of the broker's own, so nobody waits for a dead
// Redis.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "services/realtime/channel.hpp"
#include "services/realtime/member.hpp"
#include "services/realtime/position.hpp"
#include "services/realtime/publish_batch.hpp"
#include "services/realtime/revocation.hpp"

namespace raymesh::realtime {

template <class T>
using Answer = UniqueFunction<void(Result<T>)>;
using Answered = UniqueFunction<void(Status)>;

struct Published {
  uint64_t delivered =
      0;          // connections that were subscribed when it ran, the origin's own left out
  Position last;  // of the batch's last message
};

struct StoredMessage {
  uint64_t offset = 0;
  std::string payload;  // JSON
};
/// Messages of `latest.epoch`, oldest first, without a gap.
struct HistoryPage {
  Position latest;  // of the channel when the page was read
  std::vector<StoredMessage> messages;
};

struct PresenceQuery {
  size_t limit = 100;
  std::string cursor;  // empty: from the start; opaque
};
struct PresencePage {
  std::string members_json;  // [{"id":...,"identity"?:...,"data"?:...}, ...]
  uint64_t count = 0;        // connections, in all
  uint64_t identities = 0;   // distinct identities, in all
  std::string next;          // empty: that was the last page
};

/// Of one identity or project, in the whole cluster; 0: no bound.
struct ConnectionLimits {
  uint64_t per_identity = 0;
  uint64_t per_project = 0;

  bool any() const { return per_identity > 0 || per_project > 0; }
};

/// What a broker is given by its node, and may use until it is stopped; thread-safe.
struct BrokerNode {
  const ChannelRules& rules;
  ConnectionLimits limits;
  /// The channel, made if need be, for a message that is to be kept; nullptr when there are too
  /// many.
  std::function<ChannelPtr(const std::string& project, const std::string& name)> obtain;
  /// Ends here what the revocation is about, remembers it, and tells how many it has ended.
  std::function<void(const Revocation&, UniqueFunction<void(uint64_t closed)>)> revoke;
  /// So much waits to be sent that nothing more should be brought for now.
  std::function<bool()> overloaded = nullptr;
  /// From a publish on this node until it came back, in seconds. May be empty.
  std::function<void(double)> lag = nullptr;
};

class Broker {
 public:
  virtual ~Broker() = default;

  /// Sends the batch to every subscriber of the channel but, with the default frames, its origin.
  /// `local` is the channel on this node, nullptr when it is not in use here. `done` may be empty.
  virtual void publish(const std::string& project, const std::string& name, const ChannelPtr& local,
                       std::shared_ptr<const PublishBatch> batch, Answer<Published> done) = 0;

  // For channel actors: all calls of one Channel come from its actor, one after the other. A new
  // Channel of the same name may attach before the old one has detached.

  /// Begins to bring the channel's messages here, before its first member enters, and holds the
  /// channel until `detach`. The answer is its position, and comes in its place among what is
  /// brought: behind every message up to it that will come, before those after it. No position: the
  /// actor's own count is all there is.
  virtual void attach(const ChannelPtr& channel, Answer<Position> done) = 0;
  /// After the last member has left, when `attach` has failed, or when the channel's actor has
  /// died, and then its members are gone, too. What is still on its way is dropped.
  virtual void detach(const ChannelPtr& channel) = 0;
  /// The member is present and counted from the answer on, which is the id that it is present
  /// under: its own, or that of a handed-over member whose place it takes. Then it is to leave, and
  /// to enter again, with that one. Also after a Refresh that asks for it.
  virtual void enter(const ChannelPtr& channel, const MemberPtr& member,
                     Answer<std::string> done) = 0;
  /// `handover`: its client has been asked to come back within this time, and stays present until
  /// then; 0: it leaves now.
  virtual void leave(const ChannelPtr& channel, const MemberPtr& member,
                     std::chrono::milliseconds handover) = 0;
  /// Whether somebody on this node wants MemberEvents of the channel. None are wanted at first.
  virtual void watch(const ChannelPtr& channel, bool wanted) = 0;
  /// Ends the Refresh of this number: the members have entered again, and `watch` was called again,
  /// if that was asked for. The answer is as that of `attach`; EventsMissed comes before it.
  virtual void refreshed(const ChannelPtr& channel, uint64_t number, Answer<Position> done) = 0;
  /// Where the channel is by now. The answer is as that of `attach`.
  virtual void position(const ChannelPtr& channel, Answer<Position> done) = 0;

  /// What is kept after the position, at most `limit` messages, oldest first; from the oldest on if
  /// `since` is of another epoch than the channel is in, or none. Shorter than `limit`: up to the
  /// latest.
  virtual void history(const std::string& project, const std::string& name, const ChannelPtr& local,
                       Position since, size_t limit, Answer<HistoryPage> done) = 0;
  virtual void presence(const std::string& project, const std::string& name,
                        const ChannelPtr& local, PresenceQuery query,
                        Answer<PresencePage> done) = 0;

  // For connections.

  /// Counts a connection against the limits of its identity and project, in the whole cluster.
  /// Errors: too_many_connections.
  virtual void admit(const MemberPtr& member, Answered done) = 0;
  /// After an `admit` that went well.
  virtual void dismiss(const MemberPtr& member) = 0;

  /// Tells every node (BrokerNode::revoke) and remembers it for tokens that come later. Answers
  /// with the number of connections that were closed, once all nodes have told theirs or after a
  /// second.
  virtual void revoke(Revocation revocation, Answer<RevokeReport> done) = 0;

  /// True when what a channel keeps must live in its actor, also while nobody is subscribed.
  virtual bool history_is_local() const = 0;
  /// unavailable while the broker cannot do its work.
  virtual Status ready() const = 0;
  /// The node is being stopped: its members have left, or been handed over. Waits at most `grace`.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace raymesh::realtime
