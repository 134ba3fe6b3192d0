#include "services/gateway/raystream_subscriptions.hpp"

#include <exception>
#include <optional>

#include "services/gateway/core.hpp"
#include "services/gateway/raystream_actor.hpp"
#include "services/gateway/raystream_call.hpp"
#include "services/gateway/raystream_session.hpp"
#include "services/gateway/realtime_relay.hpp"

namespace raymesh::gateway {
namespace {

namespace v1 = raymesh::raystream::v1;

// Beyond what a realtime node takes; it says what is wrong with a name.
constexpr size_t kMaxName = 4u << 10;
// Of the events in one frame.
constexpr size_t kMaxBatch = 32u << 10;

}  // namespace

class RaystreamSubscriptions::Subscription final : public RelaySink {
 public:
  enum class State : uint8_t {
    kStoring,  // the list is being written, with it
    kAsked,    // the relay was asked
    kLive,
    kLeaving,  // the relay was asked to end it
  };

  Subscription(RaystreamSubscriptions& of, Key its_key) : all(of), key(std::move(its_key)) {}

  void subscribed(const std::string& position) override {
    state = State::kLive;
    take_done()(position);
  }
  void refused(const Error& error) override {
    auto call = take_done();
    all.erase(key);
    call(error);
  }
  void events(const EventBlockPtr& block) override {
    if (state != State::kLive) return;
    try {
      all.send(block, wish.presence, wish.batches);
    } catch (const std::exception&) {
      all.session_.failed();
    }
  }
  void left() override { finish_leaving(); }
  void ended(const EventBlockPtr& last) override {
    if (state == State::kLeaving) return finish_leaving();
    all.send(last, true, false);
    RaystreamSubscriptions& owner = all;
    owner.erase(key);
    owner.store([](const Status&) {});
  }

  Done take_done() { return std::exchange(done, nullptr); }

  RaystreamSubscriptions& all;
  const Key key;
  SubscriptionWish wish;
  std::optional<ChannelPosition> from;
  State state = State::kStoring;
  Done done;
  uint64_t relayed_as = 0;

 private:
  void finish_leaving() {
    auto call = take_done();
    RaystreamSubscriptions& owner = all;
    owner.erase(key);
    owner.store([call = std::move(call)](const Status& stored) mutable {
      stored.ok() ? call(std::string()) : call(stored.error());
    });
  }
};

RaystreamSubscriptions::RaystreamSubscriptions(RaystreamSession& session) : session_(session) {}

RaystreamSubscriptions::~RaystreamSubscriptions() {
  clear();
}

void RaystreamSubscriptions::store(UniqueFunction<void(Status)> then) {
  if (!store_) return then(ok_status());
  store_([alive = std::weak_ptr<bool>(alive_), then = std::move(then)](Status status) mutable {
    if (!alive.expired()) then(std::move(status));
  });
}

// ---- subscribing ----

void RaystreamSubscriptions::subscribe(SubscriptionWish wish, Done done) {
  if (wish.kind == v1::TABLE)
    return done(Error(errors::kNotFound,
                      "there is no change feed of tables yet: only channels can be subscribed to"));
  if (wish.kind != v1::CHANNEL)
    return done(Error(errors::kInvalidRequest, "kind must be CHANNEL or TABLE"));
  if (wish.name.size() > kMaxName)
    return done(Error(errors::kInvalidChannel, "the channel's name is too long"));
  std::optional<ChannelPosition> from;
  if (!wish.from_position.empty() && !(from = parse_position(wish.from_position)))
    return done(Error(errors::kInvalidRequest, "from_position is none that an event had"));
  Key key(wish.kind, wish.name);
  if (all_.contains(key))
    return done(Error(errors::kAlreadySubscribed, "the session is subscribed to it already"));
  const auto most = static_cast<size_t>(session_.max_subscriptions());
  if (all_.size() >= most)
    return done(Error(errors::kTooManySubscriptions,
                      "a session may be subscribed to " + std::to_string(most) + " channels"));
  auto subscription = std::make_unique<Subscription>(*this, key);
  subscription->wish = std::move(wish);
  subscription->from = std::move(from);
  subscription->done = std::move(done);
  all_.emplace(key, std::move(subscription));
  session_.worker().core.raystream_probe.subscriptions_changed(1);
  store([this, key](const Status& stored) { stored.ok() ? ask(key) : fail(key, stored.error()); });
}

bool RaystreamSubscriptions::go_on(SubscriptionWish wish) {
  auto from = parse_position(wish.from_position);
  Key key(wish.kind, wish.name);
  if (wish.kind != v1::CHANNEL || !from || all_.contains(key) ||
      all_.size() >= static_cast<size_t>(session_.max_subscriptions()))
    return false;
  auto subscription = std::make_unique<Subscription>(*this, key);
  subscription->wish = std::move(wish);
  subscription->from = std::move(from);
  subscription->state = Subscription::State::kLive;
  all_.emplace(key, std::move(subscription));
  session_.worker().core.raystream_probe.subscriptions_changed(1);
  ask(key);
  return true;
}

void RaystreamSubscriptions::ask(const Key& key) {
  const auto it = all_.find(key);
  if (it == all_.end()) return;
  Subscription& s = *it->second;
  const bool is_new = s.state == Subscription::State::kStoring;
  if (is_new) s.state = Subscription::State::kAsked;
  Worker& worker = session_.worker();
  RelayWish wish;
  wish.project = session_.project();
  wish.channel = s.wish.name;
  wish.from = s.from;
  wish.presence = s.wish.presence;
  wish.user = s.wish.user;
  wish.user_session = s.wish.user_session;
  wish.is_new = is_new;
  s.relayed_as = worker.core.relay->next_id();
  // Known before the answer can come.
  worker.relayed.add(s.relayed_as, s, is_new ? std::string() : s.wish.from_position);
  worker.core.relay->subscribe(worker.index, s.relayed_as, std::move(wish));
}

void RaystreamSubscriptions::fail(const Key& key, const Error& error) {
  const auto it = all_.find(key);
  if (it != all_.end()) it->second->refused(error);
}

void RaystreamSubscriptions::unsubscribe(v1::StreamKind kind, const std::string& name, Done done) {
  const auto it = all_.find({kind, name});
  if (it == all_.end() || it->second->state != Subscription::State::kLive)
    return done(Error(errors::kNotSubscribed, "the session is not subscribed to it"));
  Subscription& s = *it->second;
  s.state = Subscription::State::kLeaving;
  s.done = std::move(done);
  session_.worker().core.relay->unsubscribe(s.relayed_as);
}

void RaystreamSubscriptions::erase(const Key& key) {
  const auto it = all_.find(key);
  if (it == all_.end()) return;
  if (it->second->relayed_as != 0) session_.worker().relayed.remove(*it->second);
  // Later, because one of its functions may be running.
  Worker& worker = session_.worker();
  worker.core.threads.post(worker.index, [ended = std::move(it->second)] {});
  all_.erase(it);
  worker.core.raystream_probe.subscriptions_changed(-1);
}

void RaystreamSubscriptions::clear() {
  alive_.reset();
  queue_.clear();
  queued_bytes_ = 0;
  if (all_.empty()) return;
  Worker& worker = session_.worker();
  for (auto& [key, s] : all_) {
    if (s->relayed_as == 0) continue;
    if (s->state != Subscription::State::kLeaving) worker.core.relay->unsubscribe(s->relayed_as);
    worker.relayed.remove(*s);
  }
  worker.core.raystream_probe.subscriptions_changed(-static_cast<int>(all_.size()));
  worker.core.threads.post(worker.index, [ended = std::move(all_)] {});
  all_.clear();
}

std::vector<RaystreamSubscriptions::Entry> RaystreamSubscriptions::list() const {
  std::vector<Entry> out;
  for (const auto& [key, s] : all_) {
    if (s->state == Subscription::State::kLeaving) continue;
    std::string position = session_.worker().relayed.position(*s);
    out.push_back({s->wish.kind, s->wish.name,
                   position.empty() ? s->wish.from_position : std::move(position),
                   s->wish.presence});
  }
  return out;
}

// ---- events ----

void RaystreamSubscriptions::send(const EventBlockPtr& block, bool watches, bool batches) {
  uint32_t next = 0;
  if (queue_.empty())
    while (next < block->count() && session_.has_room())
      if (!send_next(*block, next, watches, batches)) return;
  if (next < block->count()) {
    const Core& core = session_.worker().core;
    if (core.relay->held_events() > core.config.raystream.max_event_memory)
      return session_.too_slow();
    queue_.push_back({block, next, watches, batches, nullptr});
    queued_bytes_ += block->bytes();
  }
  written();
}

/// One frame of what is not sent yet. False: the session has ended.
bool RaystreamSubscriptions::send_next(const EventBlock& block, uint32_t& next, bool watches,
                                       bool batches) {
  const uint32_t first = next++;
  if (!watches && block.is_for_watchers(first)) return true;
  if (batches && (watches || !block.has_watchers()))
    while (next < block.count() && block.payload(first, next + 1).size() <= kMaxBatch) ++next;
  session_.worker().core.raystream_probe.events_sent(next - first);
  return session_.send_event(block.payload(first, next));
}

void RaystreamSubscriptions::pump() {
  while (!queue_.empty() && session_.has_room()) {
    Queued& first = queue_.front();
    if (first.answer) {
      const auto call = std::move(first.answer);
      queue_.pop_front();
      if (!session_.send_answer(*call)) return;
      continue;
    }
    const EventBlockPtr block = first.block;
    if (first.next == block->count()) {
      queued_bytes_ -= block->bytes();
      queue_.pop_front();
      continue;
    }
    if (!send_next(*block, first.next, first.watches, first.batches)) return;
  }
}

bool RaystreamSubscriptions::hold_answer(RaystreamCall& call) {
  if (queue_.empty() && session_.has_room()) return false;
  queue_.push_back({nullptr, 0, false, false, call.shared_from_this()});
  return true;
}

void RaystreamSubscriptions::written() {
  if (std::exchange(written_, true)) return;
  session_.worker().written_sessions.push_back(session_.shared_from_this());
}

void flush_written_sessions(Worker& worker) {
  auto sessions = std::exchange(worker.written_sessions, {});
  for (const auto& session : sessions) {
    if (auto* subscriptions = session->subscriptions_if_any()) subscriptions->written_ = false;
    take_turn(session, [] {});
  }
  sessions.clear();
  if (worker.written_sessions.empty()) worker.written_sessions = std::move(sessions);
  worker.run_actors();
}

}  // namespace raymesh::gateway
