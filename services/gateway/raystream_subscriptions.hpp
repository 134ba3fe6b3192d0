// The subscriptions of one raystream session: asks realtime nodes for them through the gateway's
// relay, and sends what they bring, in order. Each event comes serialized and is encrypted for this
// session alone; what its client does not take waits here, shared with the other sessions. Belongs
// to its session, made with the first subscription; on its thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"
#include "services/gateway/relay_events.hpp"
#include "services/gateway/relay_fanout.hpp"

namespace raymesh::gateway {

class RaystreamCall;
class RaystreamSession;

/// What somebody wants to be subscribed to.
struct SubscriptionWish {
  raymesh::raystream::v1::StreamKind kind = raymesh::raystream::v1::CHANNEL;
  std::string name;
  std::string from_position;  // empty: from now on
  bool presence = false;
  bool batches = false;
  // The session's user, as presence shows it and revocations name it; empty: none.
  std::string user;
  std::string user_session;
};

class RaystreamSubscriptions {
 public:
  /// The position that a subscription stands at when it begins; empty when it has ended.
  using Done = UniqueFunction<void(Result<std::string>)>;
  /// Runs before a change of the list is acknowledged, to store it, and calls back once it may be:
  /// on the session's thread, at once or later.
  using Store = std::function<void(UniqueFunction<void(Status)> stored)>;

  explicit RaystreamSubscriptions(RaystreamSession& session);
  ~RaystreamSubscriptions();
  RaystreamSubscriptions(const RaystreamSubscriptions&) = delete;
  RaystreamSubscriptions& operator=(const RaystreamSubscriptions&) = delete;

  void set_store(Store store) { store_ = std::move(store); }

  /// Events follow `done`. Errors: not_found (tables), invalid_request, already_subscribed,
  /// too_many_subscriptions, and those of a realtime node.
  void subscribe(SubscriptionWish wish, Done done);
  /// One of a session that was resumed: it waits as long as it takes, and what it has missed
  /// follows, or a RESET. False: it cannot be.
  [[nodiscard]] bool go_on(SubscriptionWish wish);
  /// No event follows `done`. Errors: not_subscribed.
  void unsubscribe(raymesh::raystream::v1::StreamKind kind, const std::string& name, Done done);
  /// The session has ended: all of them end without a word.
  void clear();

  /// One that there is, or that is being asked for.
  struct Entry {
    raymesh::raystream::v1::StreamKind kind = raymesh::raystream::v1::CHANNEL;
    std::string name;
    std::string position;  // of the last event; empty: none yet
    bool presence = false;
  };
  std::vector<Entry> list() const;
  size_t size() const { return all_.size(); }

  // For the session.

  /// Bytes of events that wait for the socket.
  size_t queued() const { return queued_bytes_; }
  /// Sends what waits, as far as there is room.
  void pump();
  /// Keeps the answer to a SUBSCRIBE behind the events that wait. False: nothing waits, send it.
  bool hold_answer(RaystreamCall& call);

 private:
  class Subscription;
  struct Queued {
    EventBlockPtr block;
    uint32_t next = 0;
    bool watches = false;
    bool batches = false;
    std::shared_ptr<RaystreamCall> answer;  // instead of a block
  };
  using Key = std::pair<int, std::string>;

  void store(UniqueFunction<void(Status)> then);
  void ask(const Key& key);
  void fail(const Key& key, const Error& error);
  void erase(const Key& key);
  void send(const EventBlockPtr& block, bool watches, bool batches);
  bool send_next(const EventBlock& block, uint32_t& next, bool watches, bool batches);
  void written();

  RaystreamSession& session_;
  Store store_;
  std::map<Key, std::unique_ptr<Subscription>> all_;
  std::deque<Queued> queue_;
  size_t queued_bytes_ = 0;
  bool written_ = false;  // in the worker's list of sessions to be flushed
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  friend void flush_written_sessions(Worker& worker);
};

/// Sends what the events of this turn have put into sessions' buffers.
void flush_written_sessions(Worker& worker);

}  // namespace raymesh::gateway
