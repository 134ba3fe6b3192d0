#include "services/realtime/connection_counts.hpp"

#include <optional>

#include "services/realtime/redis_keys.hpp"
#include "services/realtime/redis_scripts.hpp"

namespace raymesh::realtime {
namespace {

using redis::Effect;
using redis::Reply;
using std::chrono::milliseconds;

// Counts in one call of the script.
constexpr size_t kRecountBatch = 200;

redis::Client::Clock::time_point deadline() {
  return redis::Client::Clock::now() + std::chrono::seconds(3);
}

}  // namespace

// Until both scopes have answered: it is admitted to both, or to none.
struct ConnectionCounts::Admission {
  ConnectionCounts& counts;
  Answered done;
  std::vector<std::string> admitted;
  std::optional<Error> refused;

  Admission(ConnectionCounts& c, Answered d) : counts(c), done(std::move(d)) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;
  ~Admission() {
    if (refused) {
      for (const std::string& scope : admitted) counts.less(scope);
      done(*std::move(refused));
    } else {
      done(ok_status());
    }
  }
};

std::vector<ConnectionCounts::Scope> ConnectionCounts::scopes(const Member& member) const {
  std::vector<Scope> out;
  if (limits_.per_identity > 0 && !member.identity.empty())
    out.push_back(
        {"i:" + member.project + '/' + member.identity, limits_.per_identity, "the identity"});
  if (limits_.per_project > 0)
    out.push_back({"p:" + member.project, limits_.per_project, "the project"});
  return out;
}

void ConnectionCounts::admit(const MemberPtr& member, Answered done) {
  auto admission = std::make_shared<Admission>(*this, std::move(done));
  for (const Scope& scope : scopes(*member)) admit_to(scope, admission);
}

void ConnectionCounts::admit_to(const Scope& scope, std::shared_ptr<Admission> admission) {
  RedisPrimary& primary = at(scope.name);
  const NodeId incarnation = primary.lease().incarnation();
  if (incarnation == 0) {
    admission->refused =
        Error(errors::kUnavailable, "this node is not registered in Redis", milliseconds(1000));
    return;
  }
  redis::Command tail;
  tail.arg(0).arg(scope.name).arg(node_text(incarnation)).arg(scope.limit);
  primary.client().eval(
      scripts::admit(), std::move(tail), Effect::kWrite, deadline(),
      [this, &primary, scope, incarnation,
       admission = std::move(admission)](const Result<Reply>& reply) {
        if (!reply.ok()) {
          // It may have been counted.
          if (!was_refused(reply.error())) primary.suspect();
          admission->refused =
              Error(errors::kUnavailable, reply.error().message, milliseconds(1000));
        } else if (reply->integer == scripts::kNoLease) {
          if (incarnation == primary.lease().incarnation()) primary.lease().abandon();
          admission->refused =
              Error(errors::kUnavailable, "this node has lost its lease", milliseconds(1000));
        } else if (reply->integer == 0) {
          admission->refused =
              Error(errors::kTooManyConnections,
                    std::string(scope.owner) + " has as many connections as it may have",
                    std::chrono::seconds(5));
        } else {
          const uint64_t count = ++counts_[scope.name];
          if (RedisPrimary& now = at(scope.name); &now != &primary) {
            tell(primary, scope.name, 0);
            tell(now, scope.name, count);
          }
          admission->admitted.push_back(scope.name);
          // Counted under an incarnation that is none of ours any more.
          if (incarnation != primary.lease().incarnation()) recount(primary);
        }
      });
}

void ConnectionCounts::dismiss(const MemberPtr& member) {
  for (const Scope& scope : scopes(*member)) less(scope.name);
}

void ConnectionCounts::less(const std::string& scope) {
  const auto it = counts_.find(scope);
  if (it == counts_.end()) return;
  if (--it->second == 0) counts_.erase(it);
  RedisPrimary& primary = at(scope);
  if (primary.lease().incarnation() == 0) return;
  primary.client().eval(scripts::dismiss(),
                        redis::Command("0", scope, node_text(primary.lease().incarnation())),
                        Effect::kWrite, deadline(), [&primary](const Result<Reply>& reply) {
                          if (!reply.ok()) primary.suspect();
                        });
}

void ConnectionCounts::tell(RedisPrimary& primary, const std::string& scope, uint64_t count) {
  if (primary.lease().incarnation() == 0) return;  // it is recounted when it has one
  primary.client().eval(scripts::recount(),
                        redis::Command("0", node_text(primary.lease().incarnation()), scope, count),
                        Effect::kWrite, deadline(), [&primary](const Result<Reply>& reply) {
                          if (!reply.ok() || reply->integer != 1) primary.suspect();
                        });
}

void ConnectionCounts::move(const RedisPrimaries::View& before, const RedisPrimaries::View& now) {
  for (const auto& [scope, count] : counts_) {
    RedisPrimary& was = before.at(scope);
    RedisPrimary& is = now.at(scope);
    if (&was == &is) continue;
    tell(was, scope, 0);
    tell(is, scope, count);
  }
}

void ConnectionCounts::recount(RedisPrimary& primary) {
  const std::string incarnation = node_text(primary.lease().incarnation());
  redis::Command tail;
  size_t batch = 0;
  auto send = [&] {
    if (batch == 0) return;
    primary.client().eval(scripts::recount(), std::exchange(tail, redis::Command()), Effect::kWrite,
                          deadline(), [&primary](const Result<Reply>& reply) {
                            if (!reply.ok() || reply->integer != 1) primary.suspect();
                          });
    batch = 0;
  };
  for (const auto& [scope, count] : counts_) {
    if (&at(scope) != &primary) continue;
    if (batch == 0) tail.arg(0).arg(incarnation);
    tail.arg(scope).arg(count);
    if (++batch == kRecountBatch) send();
  }
  send();
}

}  // namespace raymesh::realtime
