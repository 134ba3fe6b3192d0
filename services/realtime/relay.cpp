#include "services/realtime/relay.hpp"

#include <algorithm>

#include "libs/base/encoding.hpp"
#include "services/realtime/channel_actor.hpp"
#include "services/realtime/event_encoder.hpp"
#include "services/realtime/node_context.hpp"
#include "services/realtime/shard.hpp"

namespace raymesh::realtime {
namespace {

constexpr size_t kMaxProjectBytes = 256;

size_t varint_bytes(uint64_t value) {
  size_t bytes = 1;
  for (; value >= 0x80; value >>= 7) ++bytes;
  return bytes;
}

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_header(std::string& out, uint32_t field, size_t content) {
  put_varint(out, field << 3 | 2);
  put_varint(out, content);
}

// RelayMessages, RelayMember and RelayGap have it in the same place.
constexpr uint32_t kFeedField = v1::RelayMessages::kFeedFieldNumber;
static_assert(kFeedField == v1::RelayMember::kFeedFieldNumber &&
              kFeedField == v1::RelayGap::kFeedFieldNumber);

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxProjectBytes &&
         std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) > 0x1f; });
}

Error protocol_error(const std::string& what) {
  return Error(errors::kInvalidRequest, "relay: " + what);
}

}  // namespace

Relay::Relay(Shard& shard, Outlet& outlet)
    : shard_(shard), outlet_(outlet), max_backlog_(shard.node().limits.max_relay_backlog) {
  shard_.open_relay(*this);
  shard_.node().probe.relay_opened();
}

Relay::~Relay() {
  shard_.close_relay(*this);
  for (auto& [id, subscription] : subscriptions_) leave(*subscription);
  shard_.node().probe.relay_closed();
}

// ---- what the gateway asks for ----

Status Relay::take(std::string_view message) {
  v1::RelayUp up;
  if (!up.ParseFromArray(message.data(), static_cast<int>(message.size())))
    return protocol_error("the message does not parse");
  for (const v1::RelayCommand& command : up.commands()) {
    switch (command.command_case()) {
      case v1::RelayCommand::kSubscribe:
        RAYMESH_CHECK_OK(subscribe(command.subscribe()));
        break;
      case v1::RelayCommand::kUnsubscribe:
        unsubscribe(command.unsubscribe().subscription());
        break;
      case v1::RelayCommand::COMMAND_NOT_SET:
        return protocol_error("a command of no known kind");
    }
  }
  if (!paused_ && (is_full() || joining_ > kMaxJoining)) {
    paused_ = true;
    outlet_.pause();
  }
  return ok_status();
}

Status Relay::subscribe(const v1::RelaySubscribe& wanted) {
  const uint64_t id = wanted.subscription();
  if (id == 0) return protocol_error("a subscription without a number");
  if (subscriptions_.contains(id)) return protocol_error("a subscription's number is in use");
  NodeContext& node = shard_.node();
  const auto no = [&](const ErrorKind& kind, std::string why) {
    refuse(id, Error(kind, std::move(why), std::chrono::milliseconds(500)));
    return ok_status();
  };
  if (!is_name(wanted.project())) return no(errors::kInvalidRequest, "no project is named");
  if (const Status name =
          check_channel_name(wanted.channel(), node.tokens.limits().max_channel_bytes);
      !name.ok()) {
    refuse(id, name.error());
    return ok_status();
  }
  if (wanted.identity().size() > node.tokens.limits().max_identity_bytes ||
      !is_valid_utf8(wanted.identity()))
    return no(errors::kInvalidRequest, "the identity is too long, or no UTF-8");
  if (draining_) return no(errors::kUnavailable, "the node is being stopped");
  if (subscriptions_.size() >= node.limits.max_relay_subscriptions)
    return no(errors::kOverloaded, "the gateway has as many subscriptions here as it may have");
  ChannelPtr channel = node.channels.pin(wanted.project(), wanted.channel());
  if (!channel) return no(errors::kOverloaded, "this node has as many channels as it may have");

  auto subscription = std::make_unique<RelaySubscription>();
  const ConnectionId name = shard_.enlist(*subscription);
  if (!name) {
    node.channels.unpin(channel);
    return no(errors::kOverloaded, "this node has as many subscriptions as it may have");
  }
  auto member = std::make_shared<Member>();
  member->connection = name;
  member->id = shard_.random_name();
  member->identity = wanted.identity();
  member->user = wanted.user();
  member->session = wanted.session();
  member->project = wanted.project();
  member->issued_at = shard_.unix_now();
  subscription->relay = this;
  subscription->id = id;
  subscription->channel = std::move(channel);
  subscription->member = std::move(member);
  subscription->watches = wanted.presence();
  ++joining_;
  std::optional<Position> since;
  if (wanted.has_position())
    since =
        Position{parse_epoch(wanted.position().epoch()).value_or(0), wanted.position().offset()};
  Join join{subscription->member, {Dialect::kRelay, subscription->watches, false}, since, 0};
  const Channel& target = *subscription->channel;
  subscriptions_.emplace(id, std::move(subscription));
  tell(target, std::move(join));
  return ok_status();
}

void Relay::unsubscribe(uint64_t id) {
  const auto it = subscriptions_.find(id);
  if (it != subscriptions_.end()) {
    leave(*it->second);
    subscriptions_.erase(it);
  }
  v1::RelayEvent event;
  event.mutable_left()->set_subscription(id);
  append(event);
}

void Relay::refuse(uint64_t id, const Error& error) {
  v1::RelayEvent event;
  v1::RelayRefused& refused = *event.mutable_refused();
  refused.set_subscription(id);
  auto& out = *refused.mutable_error();
  out.set_status(static_cast<uint32_t>(error.status()));
  out.set_code(std::string(error.code()));
  out.set_message(error.message);
  out.set_retry_after_ms(static_cast<uint32_t>(error.retry_after.count()));
  append(event);
}

/// Ends its membership; it stays in subscriptions_.
void Relay::leave(RelaySubscription& s) {
  tell(*s.channel, Leave{s.member->connection, {}, {}});
  shard_.node().channels.unpin(s.channel);
  shard_.discharge(s.member->connection);
  if (!s.feed) {
    --joining_;
    return;
  }
  RelayFeed& feed = *s.feed;
  if (run_.feed == &feed) end_join_run();
  if (s.watches) --feed.watchers;
  if (--feed.subscriptions > 0) return;
  std::erase(feed.channel->on(shard_.index()).feeds, &feed);
  std::erase(lossy_, &feed);
  feeds_.erase(feed.channel.get());
}

/// There may be room for more questions.
void Relay::answered() {
  if (!paused_ || joining_ > kMaxJoining / 2 || out_bytes_ + unsent_ > max_backlog_ / 2) return;
  paused_ = false;
  outlet_.resume();
}

// ---- what its channels bring ----

RelayFeed& Relay::feed_of(RelaySubscription& s) {
  auto& feed = feeds_[s.channel.get()];
  if (!feed) {
    feed = std::make_unique<RelayFeed>();
    feed->relay = this;
    feed->channel = s.channel;
    feed->number = ++last_feed_;
    s.channel->on(shard_.index()).feeds.push_back(feed.get());
  }
  return *feed;
}

void Relay::on_joined(RelaySubscription& s, const Joined& joined) {
  if (s.feed || joined.channel != s.channel) return;
  const bool no_room = !joined.missed.empty() && is_full();
  if (joined.failure || no_room) {
    const uint64_t id = s.id;
    leave(s);
    subscriptions_.erase(id);
    refuse(id, joined.failure
                   ? *joined.failure
                   : Error(errors::kOverloaded,
                           "the gateway does not take what its subscriptions have missed",
                           std::chrono::milliseconds(500)));
    return answered();
  }
  --joining_;
  RelayFeed& feed = feed_of(s);
  s.feed = &feed;
  ++feed.subscriptions;
  if (s.watches) ++feed.watchers;
  v1::RelayJoined& run = run_.joined;
  const bool same_missed = run_.missed.segment == joined.missed.segment &&
                           run_.missed.begin == joined.missed.begin &&
                           run_.missed.end == joined.missed.end;
  const std::optional<bool> recovered =
      run.has_recovered() ? std::optional(run.recovered()) : std::nullopt;
  if (run_.feed != &feed || run.offset() != joined.at.offset || recovered != joined.recovered ||
      run.epoch() != epoch_text(joined.at.epoch) || !same_missed) {
    end_join_run();
    run_.feed = &feed;
    run_.missed = joined.missed;
    run.set_feed(feed.number);
    run.set_epoch(epoch_text(joined.at.epoch));
    run.set_offset(joined.at.offset);
    if (joined.recovered) run.set_recovered(*joined.recovered);
    outlet_.wake();
  }
  run.add_subscriptions(s.id);
  answered();
}

void Relay::end_join_run() {
  if (!run_.feed) return;
  const uint32_t feed = std::exchange(run_.feed, nullptr)->number;
  const Span missed = std::exchange(run_.missed, {});
  const std::string_view frames =
      missed.empty() ? std::string_view() : std::string_view(missed.data(), missed.size());
  uint32_t count = 0;
  for (size_t at = 0; at < frames.size(); ++count) at += RelayFrame::first(frames.substr(at)).bytes;
  v1::RelayEvent event;
  event.mutable_joined()->Swap(&run_.joined);
  event.mutable_joined()->set_missed(count);
  append(event);
  for (size_t at = 0; at < frames.size();) append_frame(feed, frames, at);
}

void Relay::deliver(RelayFeed& feed, const LocalChannel::Pending& what) {
  const bool is_event = what.messages == 0;
  if (is_event && feed.watchers == 0) return;
  if (feed.lost_messages || feed.lost_events || is_full()) return leave_out(feed, what);
  end_join_run();
  const std::string_view frames(what.span.data(), what.span.size());
  for (size_t at = 0; at < frames.size();) append_frame(feed.number, frames, at);
  shard_.node().probe.relayed(what.messages, frames.size());
}

void Relay::on_lost(RelayFeed& feed, const Lost& lost) {
  if (feed.lost_messages || feed.lost_events) {
    feed.lost_messages = true;
    feed.lost_up_to = lost.at;
    return;
  }
  append_gap(feed.number, lost.at);
}

void Relay::leave_out(RelayFeed& feed, const LocalChannel::Pending& what) {
  if (!feed.lost_messages && !feed.lost_events) lossy_.push_back(&feed);
  if (what.messages == 0) {
    feed.lost_events = true;
    return;
  }
  feed.lost_messages = true;
  feed.lost_up_to = what.last;
  shard_.node().probe.relay_left_out(what.messages);
}

/// The gateway has caught up: now for what it did not get.
void Relay::tell_gaps() {
  for (RelayFeed* feed : std::exchange(lossy_, {})) {
    if (std::exchange(feed->lost_messages, false)) append_gap(feed->number, feed->lost_up_to);
    if (std::exchange(feed->lost_events, false)) append_gap(feed->number, {});
  }
}

// ---- the end of subscriptions ----

template <class Ends>
uint64_t Relay::end_those(Ends ends, bool revoked) {
  v1::RelayEvent event;
  v1::RelayEnded& ended = *event.mutable_ended();
  for (const auto& [id, subscription] : subscriptions_)
    if (ends(*subscription)) ended.add_subscriptions(id);
  if (ended.subscriptions().empty()) return 0;
  for (const uint64_t id : ended.subscriptions()) {
    leave(*subscriptions_[id]);
    subscriptions_.erase(id);
  }
  ended.set_revoked(revoked);
  append(event);
  const auto count = static_cast<uint64_t>(ended.subscriptions_size());
  answered();
  return count;
}

void Relay::end_channel(const Channel& channel) {
  end_those([&](const RelaySubscription& s) { return s.channel.get() == &channel; }, false);
}

uint64_t Relay::revoke(const Revocation& r) {
  return end_those(
      [&](const RelaySubscription& s) {
        const Member& member = *s.member;
        if (member.project != r.project) return false;
        switch (r.by) {
          case Revocation::By::kChannel:
            return s.channel->name() == r.value;
          case Revocation::By::kTokenId:
            return false;  // it has none
          case Revocation::By::kIdentity:
            if (member.identity != r.value) return false;
            break;
          case Revocation::By::kUser:
            if (member.user != r.value) return false;
            break;
          case Revocation::By::kSession:
            if (member.session != r.value) return false;
            break;
        }
        return !r.value.empty() && member.issued_at <= r.issued_by;
      },
      true);
}

void Relay::drain() {
  if (std::exchange(draining_, true)) return;
  v1::RelayEvent event;
  event.mutable_drain();
  append(event);
}

// ---- output ----

std::string& Relay::segment() {
  if (out_.empty() || out_.back().size() >= kSegmentBytes) out_.emplace_back();
  return out_.back();
}

void Relay::appended(size_t bytes) {
  out_bytes_ += bytes;
  outlet_.wake();
}

void Relay::append(const v1::RelayEvent& event) {
  end_join_run();
  std::string& out = segment();
  const size_t before = out.size();
  const size_t bytes = event.ByteSizeLong();
  put_header(out, v1::RelayDown::kEventsFieldNumber, bytes);
  event.AppendToString(&out);
  appended(out.size() - before);
}

/// RelayDown{events: [RelayEvent{<event>: {feed, ...}}]}, of the frame at `at`.
void Relay::append_frame(uint32_t feed, std::string_view frames, size_t& at) {
  const RelayFrame frame = RelayFrame::first(frames.substr(at));
  at += frame.bytes;
  const size_t inner = 1 + varint_bytes(feed) + frame.fields.size();
  const size_t event = 1 + varint_bytes(inner) + inner;
  std::string& out = segment();
  const size_t before = out.size();
  put_header(out, v1::RelayDown::kEventsFieldNumber, event);
  put_header(out, frame.event, inner);
  put_varint(out, kFeedField << 3 | 0);
  put_varint(out, feed);
  out += frame.fields;
  appended(out.size() - before);
}

void Relay::append_gap(uint32_t feed, Position at) {
  v1::RelayEvent event;
  v1::RelayGap& gap = *event.mutable_gap();
  gap.set_feed(feed);
  if (at) {
    gap.set_epoch(epoch_text(at.epoch));
    gap.set_offset(at.offset);
  }
  append(event);
}

std::string Relay::take_output() {
  end_join_run();
  if (out_.empty()) return {};
  std::string message = std::move(out_.front());
  out_.pop_front();
  out_bytes_ -= message.size();
  return message;
}

void Relay::set_unsent(size_t bytes) {
  unsent_ = bytes;
  if (out_bytes_ + unsent_ > max_backlog_ / 2) return;
  if (!lossy_.empty()) tell_gaps();
  answered();
}

}  // namespace raymesh::realtime
