// One gateway's stream of channels for its raystream sessions (relay.proto), without gRPC: what the
// gateway asks for, and what it is sent. Each subscription is a member of its channel like a
// connection, with a name of its own, so that the channel's actor decides its membership, order and
// recovery; what a channel brings is written once for all subscriptions of the stream, its feed.
// A message stands in the stream behind the RelayJoined of those who get it.
//
// Belongs to a shard and is used on its thread alone. Bounded: in subscriptions, in those that wait
// for their channel (above it the gateway is not read), and in bytes that the gateway has not taken
// (above it a channel's messages are left out, which a RelayGap tells when there is room again).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "raymesh/realtime/v1/relay.pb.h"
#include "services/realtime/channel.hpp"
#include "services/realtime/member.hpp"
#include "services/realtime/position.hpp"
#include "services/realtime/revocation.hpp"
#include "services/realtime/shard_inbox.hpp"

namespace raymesh::realtime {

class Relay;
class Shard;

struct RelaySubscription {
  Relay* relay = nullptr;
  uint64_t id = 0;  // the gateway's name for it
  ChannelPtr channel;
  MemberPtr member;
  bool watches = false;
  RelayFeed* feed = nullptr;  // nullptr: it waits to be joined
};

/// A channel on the stream, while it has subscriptions there.
struct RelayFeed {
  Relay* relay = nullptr;
  ChannelPtr channel;
  uint32_t number = 0;
  size_t subscriptions = 0;
  size_t watchers = 0;
  // What had to be left out.
  bool lost_messages = false;
  bool lost_events = false;
  Position lost_up_to;
};

class Relay {
 public:
  /// The stream. It calls take_output when it can send.
  class Outlet {
   public:
    /// There is output. On the relay's thread, any number of times.
    virtual void wake() = 0;
    /// Gives the relay nothing more until `resume` is called, and then not before that returns.
    virtual void pause() = 0;
    virtual void resume() = 0;

   protected:
    ~Outlet() = default;
  };

  Relay(Shard& shard, Outlet& outlet);
  /// Its subscriptions leave.
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  /// A serialized RelayUp. An error: the gateway does not keep to the protocol, and the stream
  /// ends.
  Status take(std::string_view message);
  /// The next RelayDown, serialized; empty when there is none.
  std::string take_output();
  /// What of the output has not left yet, after taking some: counts against the bound.
  void set_unsent(size_t bytes);

  // For the shard.
  void deliver(RelayFeed& feed, const LocalChannel::Pending& what);
  void on_joined(RelaySubscription& subscription, const Joined& joined);
  void on_lost(RelayFeed& feed, const Lost& lost);
  /// Ends the channel's subscriptions; the gateway may ask for them again.
  void end_channel(const Channel& channel);
  uint64_t revoke(const Revocation& revocation);
  void drain();

  size_t subscriptions() const { return subscriptions_.size(); }

 private:
  // Of subscriptions that the gateway has asked for and that have no answer yet: beyond it, the
  // stream is not read.
  static constexpr size_t kMaxJoining = 1'024;
  static constexpr size_t kSegmentBytes = 64u << 10;

  Status subscribe(const v1::RelaySubscribe& wanted);
  void unsubscribe(uint64_t id);
  void refuse(uint64_t id, const Error& error);
  void leave(RelaySubscription& subscription);
  void answered();
  RelayFeed& feed_of(RelaySubscription& subscription);
  template <class Ends>
  uint64_t end_those(Ends ends, bool revoked);

  void append(const v1::RelayEvent& event);
  void append_frame(uint32_t feed, std::string_view frames, size_t& at);
  std::string& segment();
  void appended(size_t bytes);
  bool is_full() const { return out_bytes_ + unsent_ > max_backlog_; }
  void leave_out(RelayFeed& feed, const LocalChannel::Pending& what);
  void tell_gaps();
  void append_gap(uint32_t feed, Position at);
  void end_join_run();

  Shard& shard_;
  Outlet& outlet_;
  const size_t max_backlog_;
  std::unordered_map<uint64_t, std::unique_ptr<RelaySubscription>> subscriptions_;
  std::unordered_map<const Channel*, std::unique_ptr<RelayFeed>> feeds_;
  uint32_t last_feed_ = 0;
  size_t joining_ = 0;
  bool paused_ = false;
  bool draining_ = false;

  // Serialized RelayDowns.
  std::deque<std::string> out_;
  size_t out_bytes_ = 0;
  size_t unsent_ = 0;
  std::vector<RelayFeed*> lossy_;  // those that have left something out

  // Those who joined one behind the other at the same place are told together: after a gateway has
  // changed nodes, its sessions have missed the same.
  struct JoinRun {
    RelayFeed* feed = nullptr;
    v1::RelayJoined joined;
    Span missed;
  };
  JoinRun run_;
};

}  // namespace raymesh::realtime
