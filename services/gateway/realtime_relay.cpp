#include "services/gateway/realtime_relay.hpp"

#include <algorithm>
#include <random>

#include "libs/telemetry/log.hpp"
#include "services/gateway/core.hpp"

namespace raymesh::gateway {

namespace v1 = realtime::v1;
using std::chrono::milliseconds;

namespace {

// How long a new subscription waits for a node, as a call does.
constexpr milliseconds kNoNode{1'000};
constexpr milliseconds kConnectTimeout{2'000};
// A stream that was up for so long was a good one: its end starts the backoff anew.
constexpr milliseconds kGoodStream{1'000};
// A node that stops is left alone for some time.
constexpr milliseconds kDrained{2'000};
// A subscription that was refused although it was there before is asked for again.
constexpr milliseconds kAgain{500};
// A node's message holds at least one of the channel's, whose bound is the node's.
constexpr size_t kMaxMessage = 20u << 20;

milliseconds with_jitter(milliseconds pause) {
  thread_local std::minstd_rand generator{std::random_device{}()};
  std::uniform_int_distribution<int64_t> whole(pause.count() / 2, pause.count());
  return milliseconds(whole(generator));
}

Error no_node() {
  return Error(errors::kUnavailable, "no realtime node is up", std::chrono::seconds(1));
}

}  // namespace

RealtimeRelay::RealtimeRelay(Core& core) : core_(core), out_(core.threads.size()) {
  for (size_t i = 0; i < out_.size(); ++i) inboxes_.push_back(std::make_unique<Inbox>());
}

RealtimeRelay::~RealtimeRelay() = default;

void RealtimeRelay::subscribe(size_t worker, uint64_t id, RelayWish wish) {
  request({id, worker, std::move(wish)});
}

void RealtimeRelay::unsubscribe(uint64_t id) {
  request({id, 0, std::nullopt});
}

void RealtimeRelay::request(Request request) {
  const std::lock_guard lock(requests_.mutex);
  requests_.items.push_back(std::move(request));
  if (!std::exchange(requests_.due, true)) core_.threads.post(kThread, [this] { run_requests(); });
}

void RealtimeRelay::run_requests() {
  std::vector<Request> items;
  {
    const std::lock_guard lock(requests_.mutex);
    items.swap(requests_.items);
    requests_.due = false;
  }
  for (Request& request : items)
    request.wish ? add(request.worker, request.id, *std::move(request.wish)) : remove(request.id);
  flush();
}

void RealtimeRelay::close() {
  closed_ = true;
  timer_.reset();
  for (auto& [address, node] : nodes_) {
    if (!node->link) continue;
    node->link->forget_owner();
    node->link->close();  // the last that happens to it
    if (node->up) core_.raystream_probe.relay_stream_down();
  }
  nodes_.clear();
  channels_.clear();
  subscriptions_.clear();
  homeless_.clear();
  unsealed_.clear();
}

// ---- subscriptions ----

RealtimeRelay::Channel& RealtimeRelay::channel_of(const RelayWish& wish) {
  // As Exchange::channel_options: what is published here goes to the same node.
  const std::string key = wish.project + '\n' + wish.channel;
  auto& channel = channels_[key];
  if (!channel) {
    channel = std::make_unique<Channel>();
    channel->number = ++last_number_;
    channel->project = wish.project;
    channel->name = wish.channel;
    channel->affinity = std::hash<std::string>()(key) | 1;
    channel->live.resize(out_.size());
  }
  return *channel;
}

void RealtimeRelay::add(size_t worker, uint64_t id, RelayWish wish) {
  if (closed_) return;
  Channel& channel = channel_of(wish);
  auto made = std::make_unique<Subscription>();
  Subscription& subscription = *made;
  subscription.id = id;
  subscription.channel = &channel;
  subscription.worker = worker;
  subscription.presence = wish.presence;
  subscription.answered = !wish.is_new;
  if (wish.from) subscription.from = std::make_shared<const ChannelPosition>(*std::move(wish.from));
  subscription.user = std::move(wish.user);
  subscription.user_session = std::move(wish.user_session);
  subscriptions_.emplace(id, std::move(made));
  channel.subscriptions.emplace(id, &subscription);
  channel.waiting.push_back(id);
  if (!subscription.answered) {
    later(kNoNode, {Due::What::kNoNode, id});
    later(core_.config.call_timeout, {Due::What::kNoAnswer, id});
  }
  place(channel);
}

void RealtimeRelay::remove(uint64_t id) {
  const auto it = subscriptions_.find(id);
  if (closed_ || it == subscriptions_.end()) return;
  Subscription& s = *it->second;
  if (s.state == Subscription::State::kWaiting) {
    tell_gone(s);
    return erase(s);
  }
  if (s.state == Subscription::State::kLeaving) return;
  if (s.state == Subscription::State::kLive) --s.channel->live[s.worker];
  s.state = Subscription::State::kLeaving;
  v1::RelayUp up;
  up.add_commands()->mutable_unsubscribe()->set_subscription(id);
  s.channel->node->link->send_command(up.SerializeAsString());
}

void RealtimeRelay::erase(Subscription& s) {
  Channel& channel = *s.channel;
  channel.subscriptions.erase(s.id);
  subscriptions_.erase(s.id);
  if (!channel.subscriptions.empty()) return;
  seal(channel);
  if (channel.node) {
    channel.node->channels.erase(&channel);
    channel.node->feeds.erase(channel.feed);
  }
  homeless_.erase(&channel);
  channels_.erase(channel.project + '\n' + channel.name);
}

void RealtimeRelay::tell_gone(const Subscription& s) {
  hand(s.worker, RelayGone{s.id});
}

/// Of one that has no answer yet.
void RealtimeRelay::refuse(Subscription& s, const Error& error) {
  hand(s.worker, RelayRefusal{s.id, error});
  erase(s);
}

// ---- nodes ----

/// nullptr: none may be asked now.
RealtimeRelay::Node* RealtimeRelay::choose(const Channel& channel) {
  const auto now = Clock::now();
  std::string best;
  uint64_t best_score = 0;
  for (std::string& address : core_.peers.realtime->addresses()) {
    const auto known = nodes_.find(address);
    if (known != nodes_.end()) {
      const Node& node = *known->second;
      if (node.draining || (!node.link && now < node.retry_at)) continue;
    }
    const uint64_t score = rpc::affinity_score(channel.affinity, address);
    if (!best.empty() && score <= best_score) continue;
    best = std::move(address);
    best_score = score;
  }
  if (best.empty()) return nullptr;
  auto& node = nodes_[best];
  if (!node) {
    node = std::make_unique<Node>();
    node->address = best;
  }
  return node.get();
}

/// Finds a node for the channel, if it has none, and asks there for what waits.
void RealtimeRelay::place(Channel& channel) {
  if (!channel.node) {
    channel.node = choose(channel);
    if (!channel.node) {
      homeless_.insert(&channel);
      // Nobody will call: there may be no address at all.
      if (!std::exchange(place_planned_, true)) later(with_jitter(kAgain), {Due::What::kPlace, 0});
      return;
    }
    homeless_.erase(&channel);
    channel.node->channels.insert(&channel);
  }
  if (channel.node->up) return ask(channel);
  if (!channel.node->link) connect(*channel.node);
}

void RealtimeRelay::place_waiting() {
  for (Channel* channel : std::vector<Channel*>(homeless_.begin(), homeless_.end()))
    place(*channel);
}

void RealtimeRelay::connect(Node& node) {
  rpc::StreamTarget target{.dialer = core_.peers.realtime->dialer(),
                           .method = "Relay",
                           .address = node.address,
                           .attempt = node.attempts++,
                           .max_message_bytes = kMaxMessage};
  node.link = std::make_shared<RelayLink>(static_cast<RelayLink::Owner&>(*this), std::move(target),
                                          rpc::Place{&core_.threads, kThread});
  node.link->start();
  node.retry_at = Clock::now() + kConnectTimeout;
  later(kConnectTimeout, {Due::What::kPlace, 0});
}

/// Sends what the channel's subscriptions want to its node, which is up.
void RealtimeRelay::ask(Channel& channel) {
  for (const uint64_t id : std::exchange(channel.waiting, {})) {
    const auto it = channel.subscriptions.find(id);
    if (it == channel.subscriptions.end()) continue;
    Subscription* s = it->second;
    if (s->state != Subscription::State::kWaiting) continue;
    s->state = Subscription::State::kAsked;
    v1::RelayUp up;
    v1::RelaySubscribe& subscribe = *up.add_commands()->mutable_subscribe();
    subscribe.set_subscription(id);
    subscribe.set_project(channel.project);
    subscribe.set_channel(channel.name);
    if (s->from) {
      subscribe.mutable_position()->set_epoch(s->from->epoch);
      subscribe.mutable_position()->set_offset(s->from->offset);
    }
    subscribe.set_presence(s->presence);
    subscribe.set_identity(s->user);
    subscribe.set_user(s->user);
    subscribe.set_session(s->user_session);
    channel.node->link->send_command(up.SerializeAsString());
    if (s->answered) core_.raystream_probe.resubscribed();
  }
}

/// Asks for it later once more.
void RealtimeRelay::again(Subscription& s, milliseconds pause) {
  s.state = Subscription::State::kWaiting;
  constexpr uint8_t kMostDoublings = 4;
  pause *= 1 << std::min(s.refusals, kMostDoublings);
  if (s.refusals < UINT8_MAX) ++s.refusals;
  later(with_jitter(2 * pause), {Due::What::kAgain, s.id});
}

RealtimeRelay::Node* RealtimeRelay::node_of(const RelayLink& link) {
  for (auto& [address, node] : nodes_)
    if (node->link.get() == &link) return node.get();
  return nullptr;
}

void RealtimeRelay::link_up(RelayLink& link) {
  Node* node = node_of(link);
  if (!node) return;
  node->up = true;
  node->up_since = Clock::now();
  core_.raystream_probe.relay_stream_up();
  if (std::exchange(node->warned, false))
    log::info("relay connected again", {{"endpoint", node->address}});
  if (paused_) link.pause();
  for (Channel* channel : node->channels) ask(*channel);
  place_waiting();
  flush();
}

void RealtimeRelay::link_done(RelayLink& link, const std::string& reason) {
  Node* node = node_of(link);
  if (!node) return;
  const auto now = Clock::now();
  if (node->up) {
    core_.raystream_probe.relay_stream_down();
    if (now - node->up_since > kGoodStream) node->backoff.reset();
  }
  if (!std::exchange(node->warned, true))
    log::warn("relay connection lost", {{"endpoint", node->address}, {"reason", reason}});
  milliseconds pause = node->backoff.next();
  if (std::exchange(node->draining, false)) pause = kDrained;
  node->up = false;
  node->link = nullptr;
  node->retry_at = now + pause;
  later(pause, {Due::What::kPlace, 0});
  move_channels(*node);
  // Addresses come and go.
  const auto all = core_.peers.realtime->addresses();
  if (!node->link && node->channels.empty() &&
      std::find(all.begin(), all.end(), node->address) == all.end())
    nodes_.erase(std::string(node->address));
  flush();
}

/// Its stream has gone: its channels go elsewhere, and every subscription with its position.
void RealtimeRelay::move_channels(Node& node) {
  const auto channels = std::exchange(node.channels, {});
  node.feeds.clear();
  for (Channel* channel : channels) {
    cut(*channel);
    channel->node = nullptr;
    // Those that were about to leave have left; the channel goes with the last one.
    std::vector<Subscription*> left;
    for (const auto& [id, s] : channel->subscriptions)
      if (s->state == Subscription::State::kLeaving) left.push_back(s);
    const bool stays = left.size() < channel->subscriptions.size();
    for (Subscription* s : left) {
      tell_gone(*s);
      erase(*s);
    }
    if (stays) place(*channel);
  }
  node.missed.left = 0;
}

/// Nothing more comes from its feed.
void RealtimeRelay::cut(Channel& channel) {
  seal(channel);
  std::shared_ptr<const ChannelPosition> at;
  for (auto& [id, s] : channel.subscriptions) {
    if (s->state == Subscription::State::kLive) {
      if (!at) at = std::make_shared<const ChannelPosition>(channel.at);
      s->from = at;
    }
    if (s->state == Subscription::State::kLive || s->state == Subscription::State::kAsked) {
      s->state = Subscription::State::kWaiting;
      channel.waiting.push_back(id);
    }
  }
  // The channel is ahead of those that have not got all that they have missed.
  if (at && channel.node->missed.left > 0) {
    const auto behind = std::make_shared<const ChannelPosition>(channel.node->missed.at);
    for (const auto& ids : channel.node->missed.ids)
      for (const uint64_t id : ids) {
        const auto it = channel.subscriptions.find(id);
        if (it != channel.subscriptions.end() && it->second->from == at) it->second->from = behind;
      }
  }
  for (size_t worker = 0; worker < out_.size(); ++worker)
    if (std::exchange(channel.live[worker], 0) > 0) hand(worker, RelayCut{channel.number});
  channel.feed = 0;
}

// ---- time ----

void RealtimeRelay::later(milliseconds pause, Due due) {
  if (closed_) return;
  const auto at = Clock::now() + pause;
  const auto it = agenda_.emplace(at, due);
  if (it == agenda_.begin()) arm();
}

void RealtimeRelay::arm() {
  if (agenda_.empty() || closed_) return;
  if (!timer_) timer_ = core_.threads.loop(kThread).timer();
  timer_->set(agenda_.begin()->first, [this] {
    run_due();
    flush();
  });
}

void RealtimeRelay::run_due() {
  const auto now = Clock::now();
  bool place_all = false;
  while (!closed_ && !agenda_.empty() && agenda_.begin()->first <= now) {
    const Due due = agenda_.begin()->second;
    agenda_.erase(agenda_.begin());
    if (due.what == Due::What::kPlace) {
      place_all = true;
      place_planned_ = false;
      continue;
    }
    const auto it = subscriptions_.find(due.id);
    if (it == subscriptions_.end()) continue;
    Subscription& s = *it->second;
    const bool unanswered = !s.answered && s.state != Subscription::State::kLeaving;
    switch (due.what) {
      case Due::What::kNoNode:
        if (unanswered && s.state == Subscription::State::kWaiting) refuse(s, no_node());
        break;
      case Due::What::kNoAnswer:
        if (!unanswered || s.state == Subscription::State::kLive) break;
        hand(s.worker, RelayRefusal{s.id, Error(errors::kDeadlineExceeded,
                                                "the realtime node took too long to answer")});
        remove(s.id);
        break;
      case Due::What::kAgain:
        if (s.state != Subscription::State::kWaiting) break;
        s.channel->waiting.push_back(s.id);
        place(*s.channel);
        break;
      case Due::What::kPlace:
        break;
    }
  }
  if (place_all && !closed_) {
    for (auto& [address, node] : nodes_)
      if (node->link && !node->up && now >= node->retry_at) node->link->abort();
    place_waiting();
  }
  arm();
}

}  // namespace raymesh::gateway
