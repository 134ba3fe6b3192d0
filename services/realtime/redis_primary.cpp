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

constexpr std::chrono::seconds kSweepInterval{1};
constexpr milliseconds kSweepLock{900};
constexpr int kSweepBudget = 200;

}  // namespace

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
  if (!ready()) return done(redis_unavailable("the link to Redis is down"));
  const uint64_t number = ++last_question_;
  questions_.emplace(number, Asked{std::move(done), answer_deadline()});
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
  client_.eval(scripts::position(), std::move(tail), Effect::kWrite, answer_deadline(),
               [this, alive = std::weak_ptr<int>(alive_), number, key = topic.key,
                version = ring](Result<Reply> reply) {
                 if (alive.expired() || (reply.ok() && !is_old_ring(*reply))) return;
                 const auto it = questions_.find(number);
                 if (it == questions_.end()) return;
                 Answer<Position> asked = std::move(it->second.done);
                 questions_.erase(it);
                 if (reply.ok()) return shared_.ask_again(*this, version, key, std::move(asked));
                 asked(redis_unavailable("Redis did not tell the channel's position: " +
                                         reply.error().message));
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
  for (auto& [number, asked] : failed) asked.done(redis_unavailable(why));
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
  for (Answer<Position>& done : late)
    done(redis_unavailable("Redis did not tell the position in time"));

  std::vector<Parked> expired;
  std::erase_if(parked_, [&](Parked& parked) {
    if (parked.deadline > now) return false;
    expired.push_back(std::move(parked));
    return true;
  });
  for (Parked& parked : expired)
    parked.done(redis_unavailable("this node is not registered in Redis"));

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
      scripts::sweep(), std::move(tail), Effect::kWrite, answer_deadline(),
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
