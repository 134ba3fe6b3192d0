// A node's right to be counted on one Redis primary: an incarnation with a lease, which Redis ends
// by its own clock. The node judges its lease by its own, from the moment a renewal was sent, with
// a clock that also counts while the machine sleeps: it never believes in a lease that Redis has
// ended already. Once lost, an incarnation is given up for a new one.
//
// Owned by RedisPrimary, used on the broker's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "libs/redis/client.hpp"
#include "services/realtime/topic_message.hpp"

namespace raymesh::realtime {

/// Counts while the machine sleeps, and no clock is ever set by anyone (CLOCK_BOOTTIME).
std::chrono::microseconds boot_time();

class NodeLease {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    /// There is a new incarnation: whatever is registered under the previous one has to be again.
    virtual void registered() = 0;
    /// Redis knows the incarnation still.
    virtual void renewed() = 0;
    /// What version of the ring Redis keeps; whenever it has answered.
    virtual void ring_told(uint64_t version) = 0;
  };

  NodeLease(redis::Client& client, NodeId node, std::chrono::milliseconds lease, Owner& owner)
      : client_(client), node_(node), lease_(lease), owner_(owner) {}

  /// 0: not registered yet.
  NodeId incarnation() const { return incarnation_; }
  /// The one before, which may still hold members of ours; 0: none.
  NodeId previous() const { return previous_; }
  /// Redis has not ended it, for sure.
  bool holds() const { return boot_time() < valid_until_; }
  /// Asks Redis at once instead of in time.
  void hurry();
  /// The incarnation is good for nothing any more: takes a new one, at the earliest after `wait`.
  void abandon(std::chrono::milliseconds wait = std::chrono::milliseconds(0));
  /// Renews and registers. Called often; does what is due.
  void tick();
  /// Everything is registered under the new incarnation: what the one before has left may go.
  void settled();
  /// The node ends: takes its incarnations back. `done` runs when Redis has answered.
  void end(UniqueFunction<void()> done);

 private:
  void take_new();
  void renew();
  void drop(NodeId incarnation);

  redis::Client& client_;
  const NodeId node_;
  const std::chrono::milliseconds lease_;
  Owner& owner_;
  NodeId incarnation_ = 0;
  NodeId previous_ = 0;
  std::string generation_;
  bool abandoned_ = false;
  bool ended_ = false;
  bool asking_ = false;  // a registration or a renewal is under way
  std::chrono::microseconds valid_until_{0};
  std::chrono::microseconds renew_at_{0};
  std::chrono::microseconds register_at_{0};
  std::shared_ptr<int> alive_ = std::make_shared<int>();  // answers come back to nobody without it
};

}  // namespace raymesh::realtime
