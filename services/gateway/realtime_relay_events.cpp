// The part of RealtimeRelay that deals with what a node sends.
#include "libs/base/protobuf_fields.hpp"
#include "libs/rpc/error_wire.hpp"
#include "libs/telemetry/log.hpp"
#include "services/gateway/core.hpp"
#include "services/gateway/realtime_relay.hpp"

namespace raymesh::gateway {

namespace v1 = realtime::v1;

namespace {

// How often a new subscription that a node cannot serve now is asked for once more.
constexpr uint8_t kTries = 3;
constexpr std::chrono::milliseconds kTryAgain{100};
// For one that was there before, and doubled with each refusal.
constexpr std::chrono::milliseconds kAskAgain{500};

// Whoever asks again would be refused again.
bool is_for_good(const Error& error) {
  return error.status() == StatusCode::kInvalidArgument ||
         error.status() == StatusCode::kPermissionDenied;
}

}  // namespace

void RealtimeRelay::link_message(RelayLink& link, std::string_view message) {
  Node* node = node_of(link);
  if (!node || closed_) return;
  ProtobufFields events(message);
  while (events.next())
    if (events.is_text(v1::RelayDown::kEventsFieldNumber)) take_event(*node, events.text());
  if (events.bad()) link.abort();
  flush_later();
}

// Messages are read where they lie, and copied once, into what their subscribers share.
void RealtimeRelay::take_event(Node& node, std::string_view bytes) {
  ProtobufFields first(bytes);
  if (first.next() && first.is_text(v1::RelayEvent::kMessagesFieldNumber))
    return take_messages(node, first.text());
  node.missed.left = 0;
  v1::RelayEvent event;
  if (!event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return node.link->abort();
  switch (event.event_case()) {
    case v1::RelayEvent::kJoined:
      return joined(node, event.joined());
    case v1::RelayEvent::kRefused:
      return refused(node, event.refused());
    case v1::RelayEvent::kLeft:
      if (Subscription* s = find(node, event.left().subscription());
          s && s->state == Subscription::State::kLeaving) {
        tell_gone(*s);
        erase(*s);
      }
      return;
    case v1::RelayEvent::kJoin:
      return member(node, event.join(), true);
    case v1::RelayEvent::kLeave:
      return member(node, event.leave(), false);
    case v1::RelayEvent::kGap:
      return gap(node, event.gap());
    case v1::RelayEvent::kEnded:
      return ended(node, event.ended());
    case v1::RelayEvent::kDrain:
      return drain(node);
    case v1::RelayEvent::kMessages:
    case v1::RelayEvent::EVENT_NOT_SET:
      return;
  }
}

/// One that was asked for on this node.
RealtimeRelay::Subscription* RealtimeRelay::find(Node& node, uint64_t id) {
  const auto it = subscriptions_.find(id);
  if (it == subscriptions_.end() || it->second->channel->node != &node ||
      it->second->state == Subscription::State::kWaiting)
    return nullptr;
  return it->second.get();
}

void RealtimeRelay::take_messages(Node& node, std::string_view bytes) {
  uint64_t feed = 0;
  uint64_t offset = 0;
  size_t count = 0;
  ProtobufFields head(bytes);
  while (head.next()) {
    if (head.is_number(v1::RelayMessages::kFeedFieldNumber)) feed = head.value();
    if (head.is_number(v1::RelayMessages::kOffsetFieldNumber)) offset = head.value();
    if (head.is_text(v1::RelayMessages::kPayloadsJsonFieldNumber)) ++count;
  }
  if (head.bad()) return node.link->abort();
  const bool is_missed = node.missed.left > 0;
  if (is_missed) --node.missed.left;
  const auto it = node.feeds.find(static_cast<uint32_t>(feed));
  if (it == node.feeds.end() || count == 0) return;
  Channel& channel = *it->second;
  std::shared_ptr<EventBlock> apart = is_missed ? std::make_shared<EventBlock>() : nullptr;
  EventBlock& block = apart ? *apart : block_of(channel);
  ChannelPosition at = is_missed ? node.missed.at : channel.at;
  at.offset = offset - 1;
  ProtobufFields fields(bytes);
  while (fields.next())
    if (fields.is_text(v1::RelayMessages::kPayloadsJsonFieldNumber)) {
      ++at.offset;
      block.add_message(channel.name, at, fields.text());
    }
  if (is_missed) node.missed.at = at;
  core_.raystream_probe.relayed(count);
  // With the first subscription of a feed, what it has missed is what the feed begins with.
  if (!is_missed || (at.epoch == channel.at.epoch && at.offset > channel.at.offset))
    channel.at = at;
  if (!is_missed) return;
  const EventBlockPtr missed = share(std::move(apart));
  for (size_t worker = 0; worker < out_.size(); ++worker)
    if (!node.missed.ids[worker].empty())
      hand(worker, RelayEvents{channel.number, missed, node.missed.ids[worker]});
}

void RealtimeRelay::joined(Node& node, const v1::RelayJoined& joined) {
  const ChannelPosition at{joined.epoch(), joined.offset()};
  std::vector<std::vector<uint64_t>> by_worker(out_.size());
  Channel* channel = nullptr;
  bool with_position = false;
  for (const uint64_t id : joined.subscriptions()) {
    Subscription* s = find(node, id);
    if (!s || (channel && s->channel != channel)) continue;
    // Also one that is leaving tells which channel the feed is.
    channel = s->channel;
    if (s->state != Subscription::State::kAsked) continue;
    by_worker[s->worker].push_back(id);
    with_position |= s->from != nullptr;
  }
  node.missed.left = joined.missed();
  node.missed.at = at;
  if (!channel) {
    node.missed.ids.assign(out_.size(), {});
    return;
  }
  if (channel->feed != joined.feed()) {
    node.feeds.erase(channel->feed);
    channel->feed = joined.feed();
    node.feeds[channel->feed] = channel;
    channel->at = at;
  }
  // What they are told before all else.
  const bool lost = joined.has_recovered() && !joined.recovered();
  std::shared_ptr<EventBlock> first;
  if (lost || with_position) {
    first = std::make_shared<EventBlock>();
    if (lost)
      first->add_reset(channel->name, at);
    else
      first->add_presence_reset(channel->name, at);
  }
  seal(*channel);
  for (size_t worker = 0; worker < out_.size(); ++worker) {
    if (by_worker[worker].empty()) continue;
    for (const uint64_t id : by_worker[worker]) {
      Subscription& s = *subscriptions_[id];
      s.state = Subscription::State::kLive;
      s.answered = true;
      s.refusals = 0;
      s.from = nullptr;
      ++channel->live[worker];
      if (lost) core_.raystream_probe.subscriptions_reset(1);
    }
    hand(worker, RelaySubscribed{channel->number, by_worker[worker], position_bytes(at), first,
                                 position_bytes(channel->at)});
  }
  node.missed.ids = std::move(by_worker);
}

void RealtimeRelay::refused(Node& node, const v1::RelayRefused& refused) {
  Subscription* s = find(node, refused.subscription());
  if (!s) return;
  const Error error = rpc::error_from_proto(refused.error());
  if (s->state == Subscription::State::kLeaving) {
    tell_gone(*s);
    return erase(*s);
  }
  if (s->state != Subscription::State::kAsked) return;
  // One that is about to stop, or whose broker is away for a moment: others may do.
  const bool may_pass = error.status() == StatusCode::kUnavailable && s->refusals < kTries;
  if (!s->answered && may_pass) return again(*s, kTryAgain);
  if (!s->answered) return refuse(*s, error);
  if (is_for_good(error)) {
    auto end = std::make_shared<EventBlock>();
    end->add_end(s->channel->name, s->from ? *s->from : ChannelPosition());
    hand(s->worker, RelayEnd{s->id, std::move(end)});
    return erase(*s);
  }
  again(*s, std::max(error.retry_after, kAskAgain));
}

void RealtimeRelay::gap(Node& node, const v1::RelayGap& gap) {
  const auto it = node.feeds.find(gap.feed());
  if (it == node.feeds.end()) return;
  Channel& channel = *it->second;
  if (gap.epoch().empty()) {
    block_of(channel).add_presence_reset(channel.name, channel.at);
    return;
  }
  channel.at = {gap.epoch(), gap.offset()};
  block_of(channel).add_reset(channel.name, channel.at);
  for (const uint32_t live : channel.live) core_.raystream_probe.subscriptions_reset(live);
}

void RealtimeRelay::member(Node& node, const v1::RelayMember& member, bool joined) {
  const auto it = node.feeds.find(member.feed());
  if (it == node.feeds.end()) return;
  Channel& channel = *it->second;
  block_of(channel).add_member(channel.name, channel.at, joined, member.member_json());
}

void RealtimeRelay::ended(Node& node, const v1::RelayEnded& ended) {
  for (const uint64_t id : ended.subscriptions()) {
    Subscription* s = find(node, id);
    if (!s) continue;
    Channel& channel = *s->channel;
    if (s->state == Subscription::State::kLeaving) {
      tell_gone(*s);
      erase(*s);
      continue;
    }
    seal(channel);
    const bool live = s->state == Subscription::State::kLive;
    if (live) --channel.live[s->worker];
    if (!ended.revoked()) {
      // Its channel failed there: once more, from where it stands.
      if (live) {
        s->from = std::make_shared<const ChannelPosition>(channel.at);
        hand(s->worker, RelayCut{channel.number});
      }
      again(*s, kTryAgain);
      continue;
    }
    if (s->answered) {
      auto end = std::make_shared<EventBlock>();
      end->add_end(channel.name, channel.at);
      hand(s->worker, RelayEnd{id, std::move(end)});
      erase(*s);
    } else {
      refuse(*s, Error(errors::kPermissionDenied, "the subscription was revoked"));
    }
  }
}

/// The node is about to stop. Without another one its sessions stay as long as it is there.
void RealtimeRelay::drain(Node& node) {
  node.draining = true;
  for (const std::string& address : core_.peers.realtime->addresses()) {
    const auto it = nodes_.find(address);
    if (it != nodes_.end() && (it->second->draining || it->second->warned)) continue;
    log::info("relay goes on elsewhere: the node stops", {{"endpoint", node.address}});
    return node.link->abort();
  }
}

}  // namespace raymesh::gateway
