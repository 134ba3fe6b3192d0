// Who is present: entering, leaving, watching.
#include "services/realtime/redis_primary.hpp"

#include "services/realtime/channel_members.hpp"
#include "services/realtime/redis_keys.hpp"
#include "services/realtime/redis_primary_topic.hpp"
#include "services/realtime/redis_scripts.hpp"

namespace raymesh::realtime {
namespace {

using redis::Effect;
using redis::Reply;
using std::chrono::milliseconds;

constexpr size_t kMaxParked = 10'000;

}  // namespace

void RedisPrimary::enter(const ChannelPtr& channel, const MemberPtr& member,
                         Answer<std::string> done) {
  const auto topic = find(*channel);
  const bool known = topic && topic->members.contains(member->connection);
  enter_now(channel, member, std::move(done), {.known = known});
}

void RedisPrimary::enter_now(const ChannelPtr& channel, const MemberPtr& member,
                             Answer<std::string> done, Attempt attempt) {
  const auto topic = find(*channel);
  if (!topic) {
    if (RedisPrimary* now = elsewhere(*channel))
      return now->enter(channel, member, std::move(done));
    return done(Error(errors::kCancelled, "the channel is not attached"));
  }
  if (attempt.known && !topic->members.contains(member->connection))
    return done(Error(errors::kCancelled, "the member has left"));
  const NodeId incarnation = lease_.incarnation();
  const Listener* listener = topic->find(channel.get());
  const bool behind = listener && listener->holes != listener->told;
  if (incarnation == 0 || (behind && !attempt.known)) {
    if (parked_.size() >= kMaxParked)
      return done(
          Error(errors::kOverloaded, "too many connections wait for Redis", milliseconds(1000)));
    parked_.push_back({channel, member, std::move(done), answer_deadline(), attempt});
    return;
  }
  std::string json;
  append_member_json(json, *member);
  redis::Command tail;
  tail.arg(0)
      .arg(topic->key)
      .arg(node_text(incarnation))
      .arg(attempt.known || lease_.previous() != 0 ? "1" : "")
      .arg(member->id)
      .arg(member->identity)
      .arg(json)
      // Who is known already keeps its place, and takes nobody else's.
      .arg(attempt.known ? std::string() : member->token_id);
  client_.eval(scripts::enter(), std::move(tail), Effect::kWrite, answer_deadline(),
               [this, alive = std::weak_ptr<int>(alive_), channel, member, attempt, incarnation,
                done = std::move(done)](Result<Reply> reply) mutable {
                 if (alive.expired()) return done(redis_unavailable("the broker is stopped"));
                 entered(channel, member, std::move(done), attempt, incarnation, reply);
                 shared_.run_actors();
               });
}

void RedisPrimary::enter_parked(const std::function<bool(const Parked&)>& which) {
  std::vector<Parked> entering;
  std::erase_if(parked_, [&](Parked& parked) {
    if (!which(parked)) return false;
    entering.push_back(std::move(parked));
    return true;
  });
  for (Parked& parked : entering)
    enter_now(parked.channel, parked.member, std::move(parked.done), parked.attempt);
}

void RedisPrimary::entered(const ChannelPtr& channel, const MemberPtr& member,
                           Answer<std::string> done, Attempt attempt, NodeId incarnation,
                           const Result<Reply>& reply) {
  if (!reply.ok()) {
    refresh_failed_ = true;
    const auto topic = find(*channel);
    // Redis may believe in it; or it is one that has to be entered again, and was not.
    if (!was_refused(reply.error()) || (topic && topic->members.contains(member->connection)))
      suspect();
    return done(answer_of_write(reply.error()));
  }
  const auto topic = find(*channel);
  // Its leave was sent behind, under the incarnation that there was then; entering it again would
  // make a ghost of it. Where the channel has moved to, a Refresh enters it, if it is still there.
  if (attempt.known && (!topic || !topic->members.contains(member->connection)))
    return done(Error(errors::kCancelled, "the member has left"));
  const bool present = reply->is_string();
  if (RedisPrimary* now = topic ? nullptr : elsewhere(*channel))
    return now->enter(channel, present ? with_id(member, reply->text) : member, std::move(done));
  if (incarnation != lease_.incarnation())  // it was taken from us meanwhile
    return enter_now(channel, present ? with_id(member, reply->text) : member, std::move(done),
                     attempt);
  if (!present) {
    if (attempt.retried) return done(redis_unavailable("this node has lost its lease"));
    lease_.abandon();
    attempt.retried = true;
    parked_.push_back({channel, member, std::move(done), answer_deadline(), attempt});
    return lease_.tick();
  }
  if (topic) topic->members.insert(member->connection);
  done(reply->text);
}

void RedisPrimary::leave(const ChannelPtr& channel, const MemberPtr& member,
                         milliseconds handover) {
  const std::string key = channel_key(channel->project(), channel->name());
  if (const auto topic = find(*channel)) topic->members.erase(member->connection);
  if (lease_.incarnation() == 0) return;
  redis::Command tail;
  tail.arg(0)
      .arg(key)
      .arg(node_text(lease_.incarnation()))
      .arg(previous_text(lease_))
      .arg(member->id)
      .arg(member->token_id)
      .arg(handover.count())
      .arg(idle_life(channel->rule()).count());
  client_.eval(scripts::leave(), std::move(tail), Effect::kWrite, answer_deadline(),
               [this, alive = std::weak_ptr<int>(alive_)](const Result<Reply>& reply) {
                 // A member that Redis believes in is a ghost.
                 if (!reply.ok() && !alive.expired()) suspect();
               });
}

void RedisPrimary::watch(const ChannelPtr& channel, bool wanted) {
  const auto topic = find(*channel);
  if (!topic) return;
  channel->watched = wanted;
  if (lease_.incarnation() == 0 || (!wanted && topic->watched())) return;
  redis::Command tail;
  tail.arg(0).arg(topic->key).arg(node_text(lease_.incarnation())).arg(wanted ? 1 : 0);
  client_.eval(scripts::watch(), std::move(tail), Effect::kWrite, answer_deadline(),
               [this, alive = std::weak_ptr<int>(alive_)](const Result<Reply>& reply) {
                 if (alive.expired()) return;
                 if (!reply.ok() || reply->integer == scripts::kNoLease) suspect();
               });
}

}  // namespace raymesh::realtime
