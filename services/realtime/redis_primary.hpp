// One Redis primary as the redis broker sees it: the subscription that brings messages, the node's
// lease there, and the channels whose partition it holds. It sees to it that channel actors hear of
// everything: what was published, who has come and gone, and, after a break in the link or a lost
// lease, that they have to look where they stand (Refresh).
//
// How a break heals, whatever it was (a lost link, a Redis that was restarted or has forgotten
// everything, a node that was stopped for a while, a command whose outcome nobody knows):
//   the subscription is made again -> the lease is looked at, or a new incarnation registered
//   -> each channel gets Refresh, some at a time -> its members enter again if the incarnation is
//   new -> it is told its position -> what the earlier incarnation has left goes.
//
// Owned by RedisBroker, used on its thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "libs/redis/client.hpp"
#include "libs/redis/subscriber.hpp"
#include "services/realtime/broker.hpp"
#include "services/realtime/node_lease.hpp"
#include "services/realtime/topic_message.hpp"

namespace raymesh::realtime {

class RedisPrimary final : private redis::Subscriber::Owner, private NodeLease::Owner {
 public:
  /// What all primaries of a broker share. Outlives them.
  struct Shared {
    NodeId node = 0;
    std::chrono::milliseconds lease{8'000};
    std::function<bool()> overloaded;  // may be empty
    /// Lets the actors run that were told something.
    std::function<void()> run_actors;
    std::function<void(RedisPrimary&, ControlMessage&)> on_control;
    /// The link is up: what was told to all nodes meanwhile has to be read.
    std::function<void(RedisPrimary&)> on_link_up;
    /// There is a new incarnation, of which Redis knows nothing else yet.
    std::function<void(RedisPrimary&)> on_registered;
    /// The ring's version, and that since which the channel has its place by it.
    std::function<std::pair<uint64_t, uint64_t>(const std::string& key)> place;
    /// This primary keeps a ring of this version.
    std::function<void(RedisPrimary&, uint64_t version)> on_ring;
    /// The primary has refused a ring of this version: asks for the position when there is another.
    std::function<void(RedisPrimary&, uint64_t version, const std::string& key, Answer<Position>)>
        ask_again;
    /// Where the channel is by now.
    std::function<RedisPrimary&(const Channel&)> primary_of;
    /// From a publish of this node's until it came back; may be empty.
    std::function<void(std::chrono::microseconds)> on_lag;
  };

  RedisPrimary(boost::asio::io_context& context, redis::Client& client,
               redis::SubscriberConfig config, Shared& shared);
  ~RedisPrimary() override;

  // As Broker's, for channels whose partition is here.
  void attach(const ChannelPtr& channel, Answer<Position> done);
  void detach(const ChannelPtr& channel);
  void enter(const ChannelPtr& channel, const MemberPtr& member, Answer<std::string> done);
  void leave(const ChannelPtr& channel, const MemberPtr& member,
             std::chrono::milliseconds handover);
  void watch(const ChannelPtr& channel, bool wanted);
  void refreshed(const ChannelPtr& channel, uint64_t number, Answer<Position> done);

  /// The channel's position, when it is subscribed.
  void ask(const std::string& key, Answer<Position> done);

  // --- When the ring has changed ---

  /// Gives away the channels whose place is another primary: they are subscribed to there, and look
  /// where they stand.
  void move_out(const std::function<RedisPrimary&(const std::string& key)>& place);
  /// No channel has its place here any more. It goes on to sweep what others leave.
  void retire();
  /// Nothing is left that needs to be swept, and nobody who may leave something.
  bool is_empty() const { return empty_; }

  /// Whether the connection is a member of the channel here.
  bool is_member(const std::string& key, ConnectionId connection) const;
  redis::Client& client() { return client_; }
  NodeLease& lease() { return lease_; }
  /// Redis may believe what is not so: everything is registered anew before long.
  void suspect();
  /// Connected, subscribed and registered.
  bool ready() const;
  /// It reads nothing, because too much waits to be sent.
  bool paused() const { return subscriber_.paused(); }
  /// What on_link_up was to read could not be read: calls it again soon.
  void read_again() { reading_ = false; }
  /// Every 100 ms or so.
  void tick();
  /// Members have left: gives the lease back and sweeps what there may be.
  void end(UniqueFunction<void()> done);
  void close();

  redis::SubscriberStats stats() const { return subscriber_.stats(); }
  size_t topics() const { return topics_.size(); }
  /// Of this node, that have not left.
  size_t members() const;

 private:
  class Topic;
  class Control;
  struct Asked {  // for a position
    Answer<Position> done;
    std::chrono::steady_clock::time_point deadline;
  };
  /// A channel, as its topic knows it.
  struct Listener {
    ChannelPtr channel;
    // How often events may have passed it by, and how many of those times it was told of
    // (EventsMissed). Until then it gets no event: what comes first may be of members that it
    // believes to know, such as our own that have entered again.
    uint64_t holes = 0;  // also the number of the Refresh that is to end the last of them
    uint64_t told = 0;
  };
  struct BeingRefreshed {
    uint64_t number;
    std::chrono::steady_clock::time_point deadline;
  };
  struct Attempt {       // to enter
    bool known = false;  // it was a member before, and may leave before the answer comes
    bool retried = false;
  };
  // Until there is an incarnation to enter under, and the channel stands where Redis does: who is
  // new gets no position of before a hole.
  struct Parked {
    ChannelPtr channel;
    MemberPtr member;
    Answer<std::string> done;
    std::chrono::steady_clock::time_point deadline;
    Attempt attempt;
  };

  // Subscriber
  bool may_deliver() override;
  void delivered() override;
  void link_lost() override;
  void link_up() override;
  // NodeLease
  void registered() override;
  void renewed() override;
  void ring_told(uint64_t version) override { shared_.on_ring(*this, version); }

  std::shared_ptr<Topic> find(const Channel& channel) const;
  void subscribe(const std::shared_ptr<Topic>& topic, bool counted);
  void move_in(const std::shared_ptr<Topic>& topic);
  void settle();
  void forget(const std::string& key, RedisPrimary& now);
  RedisPrimary* elsewhere(const Channel& channel) const;
  void ask_position(const Topic& topic, Answer<Position> done);
  void events_pass_by();
  void on_position(const PositionMessage& message);
  void fail_positions(const std::string& why);
  void enter_now(const ChannelPtr& channel, const MemberPtr& member, Answer<std::string> done,
                 Attempt attempt);
  void enter_parked(const std::function<bool(const Parked&)>& which);
  void entered(const ChannelPtr& channel, const MemberPtr& member, Answer<std::string> done,
               Attempt attempt, NodeId incarnation, const Result<redis::Reply>& reply);
  void refresh_all();
  void refresh_some();
  void finish_refresh();
  void sweep(UniqueFunction<void()> done);
  void subscribe_control();

  redis::Client& client_;
  Shared& shared_;
  NodeLease lease_;
  redis::Subscriber subscriber_;
  bool linked_ = false;
  bool reading_ = true;  // on_link_up was called since the link is up
  bool closed_ = false;
  std::unordered_map<std::string, std::shared_ptr<Topic>> topics_;
  std::vector<std::shared_ptr<Control>> controls_;

  uint64_t last_question_ = 0;
  std::unordered_map<uint64_t, Asked> questions_;

  // A refresh of everything that is under way.
  bool refresh_wanted_ = false;  // when the lease has been looked at
  bool reenter_ = false;         // not all members have entered under the new incarnation yet
  bool refreshing_ = false;
  bool refresh_failed_ = false;
  std::deque<std::weak_ptr<Channel>> to_refresh_;
  std::unordered_map<const Channel*, BeingRefreshed> being_refreshed_;

  // Channels that have come from another primary and are not subscribed yet.
  std::deque<std::weak_ptr<Topic>> to_settle_;
  size_t settling_ = 0;
  bool retired_ = false;
  bool empty_ = false;

  std::vector<Parked> parked_;
  bool suspicious_ = false;
  std::chrono::milliseconds suspicion_wait_{0};
  std::chrono::steady_clock::time_point suspected_;
  std::chrono::steady_clock::time_point sweep_at_;
  bool sweeping_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

}  // namespace raymesh::realtime
