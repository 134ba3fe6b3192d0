// How breaks heal, and what becomes of channels when the ring has changed.
#include "services/realtime/redis_primary.hpp"

#include "services/realtime/redis_keys.hpp"
#include "services/realtime/redis_primary_topic.hpp"
#include "services/realtime/redis_scripts.hpp"

namespace raymesh::realtime {
namespace {

using redis::Effect;
using redis::Reply;
using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::seconds kRefreshTimeout{5};
constexpr milliseconds kMinSuspicionWait{1'000};
constexpr milliseconds kMaxSuspicionWait{30'000};

}  // namespace

// --- When something is lost ---

/// From now on, and until each channel has looked where it stands: the link is lost, or what Redis
/// knew of this node's watching may have gone with its lease.
void RedisPrimary::events_pass_by() {
  for (const auto& [key, topic] : topics_) topic->events_pass_by();
}

void RedisPrimary::suspect() {
  if (std::exchange(suspicious_, true)) return;
  const auto now = SteadyClock::now();
  suspicion_wait_ = now - suspected_ > std::chrono::minutes(1)
                        ? kMinSuspicionWait
                        : std::min(suspicion_wait_ * 2, kMaxSuspicionWait);
  suspected_ = now;
  lease_.abandon(suspicion_wait_);
}

bool RedisPrimary::may_deliver() {
  return lease_.incarnation() == 0 || lease_.holds();
}

void RedisPrimary::delivered() {
  shared_.run_actors();
  if (shared_.overloaded && shared_.overloaded()) subscriber_.pause(true);
}

void RedisPrimary::link_lost() {
  linked_ = false;
  refreshing_ = false;
  to_refresh_.clear();
  being_refreshed_.clear();
  events_pass_by();
  fail_positions("the link to Redis is lost");
  shared_.run_actors();
}

void RedisPrimary::link_up() {
  linked_ = true;
  refresh_wanted_ = true;
  reading_ = false;
  lease_.hurry();
}

void RedisPrimary::registered() {
  suspicious_ = false;
  reenter_ = true;
  events_pass_by();
  shared_.on_registered(*this);
  enter_parked([](const Parked& parked) { return parked.attempt.known; });
  if (!linked_) return;  // link_up asks for it
  refresh_wanted_ = false;
  refresh_all();
}

void RedisPrimary::renewed() {
  if (!linked_ || !std::exchange(refresh_wanted_, false)) return;
  refresh_all();
}

void RedisPrimary::refresh_all() {
  refreshing_ = true;
  refresh_failed_ = false;
  to_refresh_.clear();
  being_refreshed_.clear();
  for (const auto& [key, topic] : topics_)
    for (const Listener& listener : topic->listeners) to_refresh_.push_back(listener.channel);
  refresh_some();
}

void RedisPrimary::refresh_some() {
  if (!refreshing_) return;
  while (!to_refresh_.empty() && being_refreshed_.size() < kRefreshBatch) {
    const ChannelPtr channel = to_refresh_.front().lock();
    to_refresh_.pop_front();
    const auto topic = channel ? find(*channel) : nullptr;
    const Listener* listener = topic ? topic->find(channel.get()) : nullptr;
    if (!listener) continue;
    being_refreshed_[channel.get()] = {listener->holes, SteadyClock::now() + kRefreshTimeout};
    tell(*channel, Refresh{reenter_, listener->holes});
  }
  shared_.run_actors();
  if (to_refresh_.empty() && being_refreshed_.empty()) finish_refresh();
}

void RedisPrimary::refreshed(const ChannelPtr& channel, uint64_t number, Answer<Position> done) {
  const auto topic = find(*channel);
  if (!topic) return done(Error(errors::kCancelled, "the channel is not attached"));
  ask_position(*topic, [this, alive = std::weak_ptr<int>(alive_), weak = std::weak_ptr(channel),
                        number, done = std::move(done)](Result<Position> at) mutable {
    const bool ok = at.ok();
    const ChannelPtr c = weak.lock();
    // The answer came over the subscription, behind what was published until then: whoever reads
    // presence from now on sees all that was not told, and all that follows is told. Unless there
    // is a new hole; then there will be another Refresh.
    if (const auto t = ok && c && !alive.expired() ? find(*c) : nullptr) {
      Listener* listener = t->find(c.get());
      if (listener && listener->holes == number &&
          std::exchange(listener->told, number) != number && c->watched)
        tell(*c, EventsMissed{});
    }
    done(std::move(at));
    if (alive.expired() || !c) return;
    if (ok) enter_parked([&](const Parked& parked) { return parked.channel == c; });
    const auto being = being_refreshed_.find(c.get());
    if (being != being_refreshed_.end() && being->second.number != number) return;
    if (being == being_refreshed_.end()) {
      // It has come from another primary, and nobody else will ask it to look where it stands.
      if (!ok && linked_ && find(*c)) suspect();
      return;
    }
    being_refreshed_.erase(being);
    if (!ok) refresh_failed_ = true;
    refresh_some();
  });
}

void RedisPrimary::finish_refresh() {
  refreshing_ = false;
  if (refresh_failed_) return suspect();
  if (!std::exchange(reenter_, false)) return;
  lease_.settled();
  sweep_at_ = {};
}

// --- When the ring has changed ---

void RedisPrimary::move_out(const std::function<RedisPrimary&(const std::string& key)>& place) {
  for (auto it = topics_.begin(); it != topics_.end();) {
    RedisPrimary& now = place(it->first);
    if (&now == this) {
      ++it;
      continue;
    }
    const std::shared_ptr<Topic> topic = std::move(it->second);
    it = topics_.erase(it);
    for (const Listener& listener : topic->listeners)
      being_refreshed_.erase(listener.channel.get());
    topic->owner = &now;
    if (std::exchange(topic->state, Topic::State::kNone) != Topic::State::kNone)
      subscriber_.unsubscribe(channel_topic(topic->key));
    forget(topic->key, now);
    now.move_in(topic);
  }
  enter_parked([this](const Parked& parked) { return !find(*parked.channel); });
  refresh_some();
}

/// Where it is attached, if that is another primary by now.
RedisPrimary* RedisPrimary::elsewhere(const Channel& channel) const {
  RedisPrimary& now = shared_.primary_of(channel);
  return &now != this && now.find(channel) ? &now : nullptr;
}

/// What Redis keeps here of the channel. Behind all that was sent about it.
void RedisPrimary::forget(const std::string& key, RedisPrimary& now) {
  if (lease_.incarnation() == 0) return;
  redis::Command tail;
  tail.arg(0).arg(key).arg(node_text(lease_.incarnation())).arg(previous_text(lease_));
  client_.eval(scripts::forget(), std::move(tail), Effect::kWrite, answer_deadline(),
               [this, alive = std::weak_ptr<int>(alive_), key, &now](const Result<Reply>& reply) {
                 if (alive.expired()) return;
                 if (!reply.ok()) return suspect();
                 if (reply->items.empty()) return;
                 redis::Command handed;
                 handed.arg(0).arg(key);
                 for (const Reply& item : reply->items) {
                   if (item.is_integer())
                     handed.arg(item.integer);
                   else
                     handed.arg(item.text);
                 }
                 now.client_.eval(scripts::hand_over(), std::move(handed), Effect::kWrite,
                                  answer_deadline(), [](const Result<Reply>&) {});
               });
}

void RedisPrimary::move_in(const std::shared_ptr<Topic>& topic) {
  topics_[topic->key] = topic;
  topic->moved = true;
  to_settle_.push_back(topic);
  settle();
}

void RedisPrimary::settle() {
  while (!to_settle_.empty() && settling_ < kRefreshBatch && ready()) {
    const auto topic = to_settle_.front().lock();
    to_settle_.pop_front();
    if (topic && topic->owner == this && topic->moved && !topic->listeners.empty())
      subscribe(topic, true);
  }
}

void RedisPrimary::retire() {
  retired_ = true;
  sweep_at_ = {};
  lease_.end([] {});
}

}  // namespace raymesh::realtime
