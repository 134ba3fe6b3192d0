#include "services/realtime/redis_primary.hpp"

#include <algorithm>

#include "libs/telemetry/log.hpp"
#include "services/realtime/channel_actor.hpp"
#include "services/realtime/channel_members.hpp"
#include "services/realtime/redis_keys.hpp"
#include "services/realtime/redis_scripts.hpp"

namespace raymesh::realtime {
namespace {

using redis::Effect;
using redis::Reply;
using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

// Channels that look where they stand at the same time.
constexpr size_t kRefreshBatch = 100;
constexpr std::chrono::seconds kRefreshTimeout{5};
constexpr std::chrono::seconds kAnswerTimeout{3};
constexpr size_t kMaxParked = 10'000;
constexpr std::chrono::seconds kSweepInterval{1};
constexpr milliseconds kSweepLock{900};
constexpr int kSweepBudget = 200;
constexpr milliseconds kMinSuspicionWait{1'000};
constexpr milliseconds kMaxSuspicionWait{30'000};

Error unavailable(std::string message) {
  return {errors::kUnavailable, std::move(message), milliseconds(1000)};
}

SteadyClock::time_point deadline() {
  return SteadyClock::now() + kAnswerTimeout;
}

std::string previous_text(const NodeLease& lease) {
  return lease.previous() == 0 ? std::string() : node_text(lease.previous());
}

}  // namespace

// A channel's topic and those who listen to it here: one Channel, or two while a new one of the
// same name takes the place of the last.
class RedisPrimary::Topic final : public redis::Subscriber::Sink {
 public:
  Topic(RedisPrimary& of, const Channel& channel)
      : owner(&of),
        key(channel_key(channel.project(), channel.name())),
        idle(idle_life(channel.rule())) {}

  void on_message(std::string_view payload) override {
    TopicMessage message = decode_topic(payload, owner->shared_.node);
    if (auto* messages = std::get_if<TopicMessages>(&message)) {
      if (messages->sent != 0 && owner->shared_.on_lag)
        owner->shared_.on_lag(boot_time() - std::chrono::microseconds(messages->sent));
      for (const Listener& listener : listeners)
        tell(*listener.channel, Arrived{messages->first, messages->batch});
    } else if (const auto* events = std::get_if<std::vector<TopicEvent>>(&message)) {
      for (const Listener& listener : listeners) {
        if (!listener.channel->watched || listener.holes != listener.told) continue;
        for (const TopicEvent& event : *events)
          tell(*listener.channel, MemberEvent{event.joined, std::string(event.member_json)});
      }
    }
  }

  bool watched() const {
    return std::any_of(listeners.begin(), listeners.end(),
                       [](const Listener& listener) { return listener.channel->watched.load(); });
  }

  Listener* find(const Channel* channel) {
    const auto it = std::find_if(listeners.begin(), listeners.end(), [channel](const Listener& l) {
      return l.channel.get() == channel;
    });
    return it == listeners.end() ? nullptr : &*it;
  }

  void events_pass_by() {
    for (Listener& listener : listeners) ++listener.holes;
  }

  enum class State : uint8_t { kNone, kSubscribing, kSubscribed };

  RedisPrimary* owner;
  const std::string key;
  const milliseconds idle;
  State state = State::kNone;
  bool moved = false;  // from another primary, and its channels have not been told yet
  std::vector<Listener> listeners;
  std::vector<Answer<Position>> waiting;  // for the subscription
  std::unordered_set<ConnectionId, ConnectionIdHash> members;
};

// What nodes tell each other, and a node itself.
class RedisPrimary::Control final : public redis::Subscriber::Sink {
 public:
  Control(RedisPrimary& owner, std::string name) : topic(std::move(name)), owner_(owner) {}

  void on_message(std::string_view payload) override {
    ControlMessage message = decode_control(payload);
    if (const auto* position = std::get_if<PositionMessage>(&message))
      owner_.on_position(*position);
    else
      owner_.shared_.on_control(owner_, message);
  }

  const std::string topic;
  bool pending = false;
  bool subscribed = false;

 private:
  RedisPrimary& owner_;
};

RedisPrimary::RedisPrimary(boost::asio::io_context& context, redis::Client& client,
                           redis::SubscriberConfig config, Shared& shared)
    : client_(client),
      shared_(shared),
      lease_(client, shared.node, shared.lease, *this),
      subscriber_(context, std::move(config), *this) {
  controls_.push_back(std::make_shared<Control>(*this, kControlTopic));
  controls_.push_back(std::make_shared<Control>(*this, node_topic(shared.node)));
  subscribe_control();
}

RedisPrimary::~RedisPrimary() {
  close();
}

void RedisPrimary::close() {
  if (std::exchange(closed_, true)) return;
  alive_.reset();
  subscriber_.close();
  fail_positions("the broker is stopped");
  parked_.clear();
  to_refresh_.clear();
  to_settle_.clear();
  topics_.clear();
}

void RedisPrimary::subscribe_control() {
  for (const auto& control : controls_) {
    if (control->subscribed || std::exchange(control->pending, true)) continue;
    subscriber_.subscribe(control->topic, control,
                          [weak = std::weak_ptr<Control>(control)](const Status& status) {
                            const auto c = weak.lock();
                            if (!c) return;
                            c->pending = false;
                            c->subscribed = status.ok();
                          });
  }
}

bool RedisPrimary::ready() const {
  return linked_ && client_.ready() && lease_.incarnation() != 0 &&
         std::all_of(controls_.begin(), controls_.end(),
                     [](const auto& control) { return control->subscribed; });
}

std::shared_ptr<RedisPrimary::Topic> RedisPrimary::find(const Channel& channel) const {
  const auto it = topics_.find(channel_key(channel.project(), channel.name()));
  return it == topics_.end() ? nullptr : it->second;
}

bool RedisPrimary::is_member(const std::string& key, ConnectionId connection) const {
  const auto it = topics_.find(key);
  return it != topics_.end() && it->second->members.contains(connection);
}

size_t RedisPrimary::members() const {
  size_t count = 0;
  for (const auto& [key, topic] : topics_) count += topic->members.size();
  return count;
}

// --- Channels ---

void RedisPrimary::attach(const ChannelPtr& channel, Answer<Position> done) {
  std::shared_ptr<Topic>& topic = topics_[channel_key(channel->project(), channel->name())];
  if (!topic) topic = std::make_shared<Topic>(*this, *channel);
  topic->listeners.push_back({channel});
  if (topic->state == Topic::State::kSubscribed) return ask_position(*topic, std::move(done));
  topic->waiting.push_back(std::move(done));
  subscribe(topic, false);
}

void RedisPrimary::subscribe(const std::shared_ptr<Topic>& topic, bool counted) {
  if (std::exchange(topic->state, Topic::State::kSubscribing) == Topic::State::kSubscribing) return;
  if (counted) ++settling_;
  subscriber_.subscribe(channel_topic(topic->key), topic,
                        [this, alive = std::weak_ptr<int>(alive_), counted,
                         weak = std::weak_ptr<Topic>(topic)](const Status& status) {
                          if (alive.expired()) return;
                          if (counted) --settling_;
                          const auto t = weak.lock();
                          if (!t || t->owner != this) return;
                          t->state = status.ok() ? Topic::State::kSubscribed : Topic::State::kNone;
                          for (Answer<Position>& waiting : std::exchange(t->waiting, {})) {
                            if (status.ok())
                              ask_position(*t, std::move(waiting));
                            else
                              waiting(status.error());
                          }
                          if (t->moved && !status.ok()) to_settle_.push_back(t);
                          if (status.ok() && std::exchange(t->moved, false)) {
                            t->events_pass_by();
                            for (const Listener& listener : t->listeners)
                              tell(*listener.channel, Refresh{true, listener.holes});
                          }
                          shared_.run_actors();
                          if (status.ok()) settle();
                        });
}

void RedisPrimary::ask(const std::string& key, Answer<Position> done) {
  const auto it = topics_.find(key);
  if (it == topics_.end()) return done(Error(errors::kCancelled, "the channel is not attached"));
  const std::shared_ptr<Topic> topic = it->second;
  if (topic->state == Topic::State::kSubscribed) return ask_position(*topic, std::move(done));
  topic->waiting.push_back(std::move(done));
  subscribe(topic, false);
}

void RedisPrimary::detach(const ChannelPtr& channel) {
  const auto topic = find(*channel);
  if (!topic) return;
  if (channel->watched) watch(channel, false);
  std::erase_if(topic->listeners, [&](const Listener& l) { return l.channel == channel; });
  if (topic->listeners.empty()) {
    topics_.erase(topic->key);
    // Left by an actor that has died: Redis is to forget them with this incarnation.
    if (!topic->members.empty()) suspect();
    if (topic->state != Topic::State::kNone) subscriber_.unsubscribe(channel_topic(topic->key));
    for (Answer<Position>& waiting : std::exchange(topic->waiting, {}))
      waiting(Error(errors::kCancelled, "detached"));
  }
  if (being_refreshed_.erase(channel.get()) > 0) refresh_some();
}

void RedisPrimary::ask_position(const Topic& topic, Answer<Position> done) {
  if (!ready()) return done(unavailable("the link to Redis is down"));
  const uint64_t number = ++last_question_;
  questions_.emplace(number, Asked{std::move(done), deadline()});
  const auto [ring, home] = shared_.place(topic.key);
  redis::Command tail;
  tail.arg(0)
      .arg(topic.key)
      .arg(epoch_text(propose_epoch()))
      .arg(topic.idle.count())
      .arg(node_topic(shared_.node))
      .arg(encode_position_head(number))
      .arg(ring)
      .arg(home);
  // The answer is what comes over the subscription: only there it has its place.
  client_.eval(
      scripts::position(), std::move(tail), Effect::kWrite, deadline(),
      [this, alive = std::weak_ptr<int>(alive_), number, key = topic.key,
       version = ring](Result<Reply> reply) {
        if (alive.expired() || (reply.ok() && !is_old_ring(*reply))) return;
        const auto it = questions_.find(number);
        if (it == questions_.end()) return;
        Answer<Position> asked = std::move(it->second.done);
        questions_.erase(it);
        if (reply.ok()) return shared_.ask_again(*this, version, key, std::move(asked));
        asked(unavailable("Redis did not tell the channel's position: " + reply.error().message));
        shared_.run_actors();
      });
}

void RedisPrimary::on_position(const PositionMessage& message) {
  const auto it = questions_.find(message.number);
  if (it == questions_.end()) return;
  Answer<Position> done = std::move(it->second.done);
  questions_.erase(it);
  done(message.at);
}

void RedisPrimary::fail_positions(const std::string& why) {
  auto failed = std::exchange(questions_, {});
  for (auto& [number, asked] : failed) asked.done(unavailable(why));
}

// --- Members ---

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
    parked_.push_back({channel, member, std::move(done), deadline(), attempt});
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
  client_.eval(scripts::enter(), std::move(tail), Effect::kWrite, deadline(),
               [this, alive = std::weak_ptr<int>(alive_), channel, member, attempt, incarnation,
                done = std::move(done)](Result<Reply> reply) mutable {
                 if (alive.expired()) return done(unavailable("the broker is stopped"));
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
    if (attempt.retried) return done(unavailable("this node has lost its lease"));
    lease_.abandon();
    attempt.retried = true;
    parked_.push_back({channel, member, std::move(done), deadline(), attempt});
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
  client_.eval(scripts::leave(), std::move(tail), Effect::kWrite, deadline(),
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
  client_.eval(scripts::watch(), std::move(tail), Effect::kWrite, deadline(),
               [this, alive = std::weak_ptr<int>(alive_)](const Result<Reply>& reply) {
                 if (alive.expired()) return;
                 if (!reply.ok() || reply->integer == scripts::kNoLease) suspect();
               });
}

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
  client_.eval(scripts::forget(), std::move(tail), Effect::kWrite, deadline(),
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
                                  deadline(), [](const Result<Reply>&) {});
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

// --- By the clock ---

void RedisPrimary::tick() {
  const auto now = SteadyClock::now();
  subscribe_control();
  lease_.tick();
  settle();
  if (linked_ && client_.ready() && !std::exchange(reading_, true)) shared_.on_link_up(*this);
  if (subscriber_.paused() && !(shared_.overloaded && shared_.overloaded()))
    subscriber_.pause(false);

  std::vector<Answer<Position>> late;
  for (auto it = questions_.begin(); it != questions_.end();) {
    if (it->second.deadline > now) {
      ++it;
      continue;
    }
    late.push_back(std::move(it->second.done));
    it = questions_.erase(it);
  }
  for (Answer<Position>& done : late) done(unavailable("Redis did not tell the position in time"));

  std::vector<Parked> expired;
  std::erase_if(parked_, [&](Parked& parked) {
    if (parked.deadline > now) return false;
    expired.push_back(std::move(parked));
    return true;
  });
  for (Parked& parked : expired) parked.done(unavailable("this node is not registered in Redis"));

  if (refreshing_ && std::erase_if(being_refreshed_,
                                   [&](const auto& one) { return one.second.deadline <= now; }) > 0)
    refresh_some();
  if (now >= sweep_at_) {
    sweep_at_ = now + kSweepInterval;
    sweep(nullptr);
  }
  if (!late.empty() || !expired.empty()) shared_.run_actors();
}

void RedisPrimary::sweep(UniqueFunction<void()> done) {
  if (!client_.ready() || (std::exchange(sweeping_, true) && !done)) {
    if (done) done();
    return;
  }
  redis::Command tail;
  tail.arg(0)
      .arg(node_text(shared_.node))
      .arg(done ? 0 : kSweepLock.count())
      .arg(kSweepBudget)
      .arg(kIdleLife.count());
  client_.eval(
      scripts::sweep(), std::move(tail), Effect::kWrite, deadline(),
      [this, alive = std::weak_ptr<int>(alive_),
       done = std::move(done)](const Result<Reply>& reply) mutable {
        if (alive.expired()) {
          if (done) done();
          return;
        }
        sweeping_ = false;
        const bool more = reply.ok() && reply->items.size() >= 2 && reply->items[1].integer == 1;
        empty_ = retired_ && reply.ok() && reply->items.size() == 3 && reply->items[2].integer == 0;
        if (more) return sweep(std::move(done));
        if (done) done();
      });
}

void RedisPrimary::end(UniqueFunction<void()> done) {
  lease_.end([this, alive = std::weak_ptr<int>(alive_), done = std::move(done)]() mutable {
    if (alive.expired()) return done();
    sweep(std::move(done));
  });
}

}  // namespace raymesh::realtime
