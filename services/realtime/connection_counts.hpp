// How many connections each identity and project has in the whole cluster, for their limits: every
// node counts its own in Redis, under its incarnation. Owned by RedisBroker, used on its thread.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "services/realtime/broker.hpp"
#include "services/realtime/redis_primaries.hpp"

namespace raymesh::realtime {

class ConnectionCounts {
 public:
  ConnectionCounts(const std::unique_ptr<RedisPrimaries>& primaries, ConnectionLimits limits)
      : primaries_(primaries), limits_(limits) {}

  /// As Broker's.
  void admit(const MemberPtr& member, Answered done);
  void dismiss(const MemberPtr& member);
  /// Tells a primary the counts of this node, for its new incarnation there.
  void recount(RedisPrimary& primary);
  /// The ring has changed: counts go where they are looked for now.
  void move(const RedisPrimaries::View& before, const RedisPrimaries::View& now);

 private:
  struct Scope {
    std::string name;
    uint64_t limit;
    const char* owner;
  };
  struct Admission;

  std::vector<Scope> scopes(const Member& member) const;
  RedisPrimary& at(const std::string& scope) { return primaries_->view().at(scope); }
  void admit_to(const Scope& scope, std::shared_ptr<Admission> admission);
  void less(const std::string& scope);
  static void tell(RedisPrimary& primary, const std::string& scope, uint64_t count);

  const std::unique_ptr<RedisPrimaries>& primaries_;
  const ConnectionLimits limits_;
  std::unordered_map<std::string, uint64_t> counts_;  // of this node
};

}  // namespace raymesh::realtime
