// Revocations between nodes: kept in Redis on every primary, told to all nodes at once, and read by
// a node whose link was down. Each node acts once and tells the one that asks how many connections
// it has closed. Owned by RedisBroker, used on its thread.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "services/realtime/broker.hpp"
#include "services/realtime/redis_primaries.hpp"

namespace raymesh::realtime {

class RevocationExchange {
 public:
  using Run = std::function<void(UniqueFunction<void()>)>;  // on the broker's thread

  RevocationExchange(NodeId self, const BrokerNode& node,
                     const std::unique_ptr<RedisPrimaries>& primaries, Run run)
      : self_(self), node_(node), primaries_(primaries), run_(std::move(run)) {}

  /// As Broker's.
  void revoke(Revocation revocation, Answer<RevokeReport> done);
  /// From another node.
  void on_message(RedisPrimary& primary, ControlMessage& message);
  /// Reads what is kept on a primary, and acts on what is new.
  void load(RedisPrimary& primary);
  /// The ring has changed: what is kept goes to its new primaries, too.
  void copy(const RedisPrimaries::View& before, const RedisPrimaries::View& now);
  void tick();
  /// Answers what is open.
  void close();

 private:
  struct Open {
    Answer<RevokeReport> done;
    std::chrono::steady_clock::time_point deadline;
    size_t asked = 0;  // primaries that have not answered yet
    size_t kept = 0;   // primaries that keep it
    Error error;       // of those that don't
    std::set<NodeId> expected;
    std::map<NodeId, uint64_t> closed;
  };

  void act(const Revocation& revocation, UniqueFunction<void(uint64_t closed)> done);
  bool is_new(const std::string& encoded);
  void closed(uint64_t number, NodeId node, uint64_t connections);
  void check(uint64_t number, bool late);
  void load_page(RedisPrimary& primary, size_t from);
  void copy_page(RedisPrimary& from, std::vector<RedisPrimary*> to, size_t first);

  const NodeId self_;
  const BrokerNode& node_;
  const std::unique_ptr<RedisPrimaries>& primaries_;
  const Run run_;
  std::map<uint64_t, Open> open_;
  std::unordered_set<std::string> known_;  // encoded; what this node has acted on
  std::deque<std::string> known_order_;
};

}  // namespace raymesh::realtime
