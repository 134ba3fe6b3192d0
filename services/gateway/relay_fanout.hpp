// The part of a gateway's I/O thread in what is relayed from realtime nodes: which of its sessions'
// subscriptions get what. RealtimeRelay hands over once per batch of its node, not per subscriber.
// Belongs to its Worker; on its thread.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "libs/base/result.hpp"
#include "services/gateway/relay_events.hpp"

namespace raymesh::gateway {

struct Worker;

/// A subscription as the fanout knows it. Its owner takes it out (RelayFanout::remove) before it
/// ends, which it may do within each call but `events`: there only with its whole session.
class RelaySink {
 public:
  /// It stands at this position; what comes next follows on it.
  virtual void subscribed(const std::string& position) = 0;
  virtual void refused(const Error& error) = 0;
  virtual void events(const EventBlockPtr& block) = 0;
  /// What was asked for with RealtimeRelay::unsubscribe is done.
  virtual void left() = 0;
  /// The node has ended it; `last` is to be sent.
  virtual void ended(const EventBlockPtr& last) = 0;

 protected:
  ~RelaySink() = default;

 private:
  friend class RelayFanout;
  uint64_t id_ = 0;       // 0: the fanout does not know it
  uint32_t channel_ = 0;  // 0: gets nothing (now)
  uint32_t place_ = 0;    // in the channel's sinks
  bool answered_ = false;
  std::string position_;  // while it gets nothing
};

// What is handed over, in this order.

/// These get what follows of the channel, `first` before it.
struct RelaySubscribed {
  uint32_t channel = 0;
  std::vector<uint64_t> ids;
  std::string position;  // that they stand at
  EventBlockPtr first;   // nullptr: nothing
  std::string feed;      // where the channel stands
};
struct RelayEvents {
  uint32_t channel = 0;
  EventBlockPtr block;
  std::vector<uint64_t> only;  // empty: all of the channel
};
/// Nothing comes until they are subscribed again.
struct RelayCut {
  uint32_t channel = 0;
};
struct RelayRefusal {
  uint64_t id = 0;
  Error error;
};
struct RelayGone {
  uint64_t id = 0;
};
struct RelayEnd {
  uint64_t id = 0;
  EventBlockPtr last;
};
using RelayItem =
    std::variant<RelaySubscribed, RelayEvents, RelayCut, RelayRefusal, RelayGone, RelayEnd>;

class RelayFanout {
 public:
  explicit RelayFanout(Worker& worker) : worker_(worker) {}

  /// With a position it stands there already, and `subscribed` is not called.
  void add(uint64_t id, RelaySink& sink, std::string position);
  void remove(RelaySink& sink);
  /// Where a subscription stands; empty: it got nothing yet.
  std::string position(const RelaySink& sink) const;

  void take(std::vector<RelayItem>& items);

 private:
  struct Channel {
    std::string position;
    std::vector<RelaySink*> sinks;
  };

  void handle(const RelaySubscribed& item);
  void handle(const RelayEvents& item);
  void handle(const RelayCut& item);
  void handle(const RelayRefusal& item);
  void handle(const RelayGone& item);
  void handle(const RelayEnd& item);
  RelaySink* find(uint64_t id) const;
  void detach(RelaySink& sink);

  Worker& worker_;
  std::unordered_map<uint64_t, RelaySink*> sinks_;
  std::unordered_map<uint32_t, Channel> channels_;
};

}  // namespace raymesh::gateway
