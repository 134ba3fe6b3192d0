#include "services/realtime/channel_state.hpp"

#include <algorithm>
#include <charconv>

#include "libs/base/json_reader.hpp"
#include "libs/net/websocket/message_deflater.hpp"
#include "services/realtime/event_encoder.hpp"
#include "services/realtime/probe.hpp"

namespace raymesh::realtime {
namespace {

// Of what arrives while something is being mended; above it, it is given up as lost.
constexpr size_t kMaxHeldBytes = 8u << 20;
constexpr size_t kHeldBatch = 128;  // what holding one takes besides its bytes
// A channel that goes on all the time looks for what has expired no more often.
constexpr std::chrono::seconds kExpiryStep{1};

std::shared_ptr<const PublishBatch> without_first(const PublishBatch& batch, size_t count) {
  auto rest = std::make_shared<PublishBatch>(batch.origin());
  for (size_t i = count; i < batch.count(); ++i) rest->add(batch.payload(i));
  return rest;
}

/// A client that has refreshed its token comes back with that one.
MemberPtr as_known(const MemberPtr& member, const Leave& leave) {
  if (leave.token_id.empty() || leave.token_id == member->token_id) return member;
  auto copy = std::make_shared<Member>(*member);
  copy->token_id = leave.token_id;
  return copy;
}

}  // namespace

ChannelState::ChannelState(std::weak_ptr<Channel> channel, std::string project, std::string name,
                           const ChannelRule& rule, std::shared_ptr<ChannelOutlets> outlets)
    : channel_(std::move(channel)),
      project_(std::move(project)),
      name_(std::move(name)),
      rule_(rule),
      outlets_(std::move(outlets)),
      history_(rule_),
      loaded_(outlets_->broker->history_is_local()) {}

size_t ChannelState::held_size(const PublishBatch& batch) {
  return kHeldBatch + batch.bytes();
}

// ---- members ----

void ChannelState::join(const Join& join) {
  const ConnectionId connection = join.member->connection;
  if (members_.contains(connection)) return;
  unused_since_.reset();
  const auto [it, fresh] = joining_.try_emplace(connection, join);
  Joining& joining = it->second;
  if (!fresh) {
    joining.next = join;
    return;
  }
  if (link_ != Link::kDetached) {
    if (link_ != Link::kAttaching) enter(joining);
    return;
  }
  const auto channel = channel_.lock();
  if (!channel) return;
  link_ = Link::kAttaching;
  broker().attach(channel, [weak = channel_](Result<Position> at) {
    if (const auto c = weak.lock()) tell(*c, Attached{std::move(at)});
  });
}

void ChannelState::attached(const Result<Position>& at) {
  if (link_ != Link::kAttaching) return;
  if (!at.ok()) {
    link_ = Link::kDetached;
    held_.clear();
    held_bytes_ = 0;
    if (const auto channel = channel_.lock()) broker().detach(channel);
    for (auto& [connection, joining] : joining_)
      if (!joining.gone) fail(joining, at.error());
    joining_.clear();
    return;
  }
  if (*at) {
    at_ = *at;
  } else if (!at_) {
    at_ = {new_epoch(), 0};
  }
  drop_held_of_other_epochs(at_.epoch);
  live();
  for (auto& [connection, joining] : joining_)
    if (joining.phase == Phase::kWaiting) enter(joining);
}

void ChannelState::enter(Joining& joining) {
  const auto channel = channel_.lock();
  if (!channel) return;
  joining.phase = Phase::kEntering;
  // Whoever asks for events gets its own join as the first one.
  if (joining.join.audience.watches && !std::exchange(watching_, true))
    broker().watch(channel, true);
  const ConnectionId connection = joining.join.member->connection;
  broker().enter(channel, joining.join.member,
                 [weak = channel_, connection](Result<std::string> id) {
                   if (const auto c = weak.lock()) tell(*c, Entered{connection, std::move(id)});
                 });
}

void ChannelState::entered(ConnectionId connection, const Result<std::string>& id) {
  const auto it = joining_.find(connection);
  if (it == joining_.end() || it->second.phase != Phase::kEntering) return;
  MemberPtr& member = it->second.join.member;
  if (id.ok()) member = with_id(member, *id);
  if (it->second.gone || !id.ok()) {
    if (it->second.gone) {
      if (const auto channel = channel_.lock(); channel && id.ok())
        broker().leave(channel, member, std::chrono::milliseconds(0));
    } else {
      fail(it->second, id.error());
    }
    const auto next = std::move(it->second.next);
    joining_.erase(it);
    watch();
    if (next) this->join(*next);
    return end_if_retired();
  }
  it->second.phase = Phase::kRecovering;
  complete(connection);
}

/// Decides what of the past it gets, or leaves it waiting until that can be known.
void ChannelState::complete(ConnectionId connection) {
  if (link_ != Link::kLive) return;
  const auto it = joining_.find(connection);
  if (it == joining_.end() || it->second.phase != Phase::kRecovering) return;
  std::optional<bool> recovered;
  if (const auto& since = it->second.join.since) {
    history_.expire(Clock::now());
    const bool possible = since->epoch == at_.epoch && since->offset <= at_.offset;
    // It may come from a node that is ahead, because this one's link is silent: a no needs the
    // broker's word.
    const bool unsure = checking_ || !it->second.checked;
    if (!possible && unsure && !broker().history_is_local()) return check_position();
    recovered = possible && history_.covers(since->offset, at_.offset);
    if (possible && !*recovered && keeps_history() && !loaded_) return load_history();
  }
  Joining joining = std::move(it->second);
  joining_.erase(it);
  admit(std::move(joining), recovered);
}

/// Asks the broker where the channel is, once for everybody who waits to know.
void ChannelState::check_position() {
  if (std::exchange(checking_, true)) return;
  for (auto& [connection, joining] : joining_)
    if (joining.phase == Phase::kRecovering) joining.checked = true;
  const auto channel = channel_.lock();
  if (!channel) return;
  broker().position(channel, [weak = channel_](Result<Position> at) {
    if (const auto c = weak.lock()) tell(*c, Checked{std::move(at)});
  });
}

void ChannelState::checked(const Result<Position>& at) {
  checking_ = false;
  if (!at.ok()) return fail_checked(at.error());
  if (!catch_up(*at)) complete_waiting();
}

/// Nobody knows where the channel is: better no subscription than a wrong one.
void ChannelState::fail_checked(const Error& error) {
  for (auto it = joining_.begin(); it != joining_.end();) {
    if (!it->second.checked || it->second.phase != Phase::kRecovering) {
      ++it;
      continue;
    }
    if (const auto channel = channel_.lock())
      broker().leave(channel, it->second.join.member, std::chrono::milliseconds(0));
    fail(it->second, error);
    it = joining_.erase(it);
  }
  watch();
  complete_waiting();  // those who came since are asked for anew
}

void ChannelState::admit(Joining joining, std::optional<bool> recovered) {
  auto channel = channel_.lock();
  if (!channel) return;
  const Join& join = joining.join;
  const ConnectionId connection = join.member->connection;
  Joined joined{std::move(channel), connection, join.ticket, join.member, at_,
                recovered,          {},         at_,         nullptr};
  if (recovered == true) {
    joined.at = *join.since;
    joined.missed = missed_since(join.audience.dialect, join.since->offset);
  }
  members_.add(join.member, join.audience);
  joined.channel->totals.members.store(members_.size(), std::memory_order_relaxed);
  if (outlets_->probe) outlets_->probe->joined(recovered);
  watch();
  outlets_->shards[connection.shard()]->post(std::move(joined));
}

/// When all clients of a node come back at once, most of them have missed the same.
Span ChannelState::missed_since(Dialect dialect, uint64_t offset) {
  if (missed_.dialect == dialect && missed_.from == offset && missed_.at == at_)
    return missed_.span;
  uint64_t first = 0;
  const PublishBatch missed = history_.read(offset, at_.offset - offset, first);
  if (missed.count() == 0) return {};
  missed_ = {dialect, offset, at_, log(dialect).append(missed, {at_.epoch, first})};
  published_since_trim_ = true;
  return missed_.span;
}

void ChannelState::fail(const Joining& joining, const Error& error) {
  auto channel = channel_.lock();
  if (!channel) return;
  const ConnectionId connection = joining.join.member->connection;
  outlets_->shards[connection.shard()]->post(Joined{std::move(channel),
                                                    connection,
                                                    joining.join.ticket,
                                                    joining.join.member,
                                                    {},
                                                    {},
                                                    {},
                                                    {},
                                                    std::make_shared<const Error>(error)});
}

void ChannelState::leave(const Leave& leave) {
  if (const auto it = joining_.find(leave.connection); it != joining_.end()) {
    // Entering cannot be called back; it leaves when the answer comes.
    if (it->second.phase == Phase::kEntering) {
      it->second.gone = true;
      it->second.next.reset();
      return;
    }
    const Joining joining = std::move(it->second);
    joining_.erase(it);
    if (joining.phase == Phase::kRecovering)
      if (const auto channel = channel_.lock())
        broker().leave(channel, as_known(joining.join.member, leave), leave.handover);
    return watch();
  }
  const MemberPtr member = members_.remove(leave.connection);
  if (!member) return;
  if (outlets_->probe) outlets_->probe->left();
  if (const auto channel = channel_.lock()) {
    channel->totals.members.store(members_.size(), std::memory_order_relaxed);
    broker().leave(channel, as_known(member, leave), leave.handover);
  }
  watch();
}

void ChannelState::watch() {
  bool wanted = members_.watchers() > 0;
  if (wanted == watching_) return;
  // Whoever is on the way in has asked for it already (enter).
  for (const auto& [connection, joining] : joining_)
    wanted |= joining.join.audience.watches && joining.phase != Phase::kWaiting && !joining.gone;
  if (wanted == watching_) return;
  watching_ = wanted;
  if (const auto channel = channel_.lock()) broker().watch(channel, wanted);
}

void ChannelState::member_event(const MemberEvent& event) {
  v1::Event out;
  v1::MemberChange& change = event.joined ? *out.mutable_join() : *out.mutable_leave();
  change.set_channel(name_);
  change.set_member_json(event.member_json);
  tell_watchers(out);
}

/// Who has come and gone meanwhile nobody can say; presence itself is right. It has no position: it
/// says nothing of messages, and a slow connection stands where it alone knows.
void ChannelState::events_missed() {
  v1::Event out;
  v1::Gap& gap = *out.mutable_gap();
  gap.set_channel(name_);
  gap.set_reason("presence");
  tell_watchers(out);
}

void ChannelState::tell_watchers(const v1::Event& event) {
  if (members_.watchers() == 0) return;
  const auto channel = channel_.lock();
  if (!channel) return;
  std::string frame;
  Dialect encoded = Dialect::kDefault;
  Span span;
  for (const ChannelMembers::Count& count : members_.counts()) {
    // Default frames know no events.
    if (!count.audience.watches || count.audience.dialect == Dialect::kDefault) continue;
    if (span.empty() || encoded != count.audience.dialect) {
      encoded = count.audience.dialect;
      frame.clear();
      append_event(frame, encoded, event);
      if (frame.empty()) continue;
      span = log(encoded).append(frame);
    }
    outlets_->shards[count.shard]->post(
        Delivery{channel, encoded, count.audience.deflated, {span, {}, 0, {}, nullptr}});
  }
}

// ---- messages ----

Published ChannelState::publish(const std::shared_ptr<const PublishBatch>& batch) {
  if (!at_) at_ = {new_epoch(), 0};
  const size_t receivers = deliver(batch, {at_.epoch, at_.offset + 1});
  return {receivers, at_};
}

void ChannelState::arrived(const Arrived& arrived) {
  if (link_ == Link::kDetached) return;
  if (link_ == Link::kLive) return take(arrived.first, arrived.batch);
  hold(arrived);
  if (held_bytes_ <= kMaxHeldBytes) return;
  if (link_ == Link::kAttaching) {
    // What comes first lies before the position that is waited for.
    held_bytes_ -= held_size(*held_.front().batch);
    return held_.pop_front();
  }
  // Whoever waits for what is missing has waited for too long.
  const Position last{arrived.first.epoch, arrived.first.offset + arrived.batch->count() - 1};
  held_.clear();
  held_bytes_ = 0;
  lose(last, std::nullopt);
  live();
}

void ChannelState::hold(const Arrived& arrived) {
  held_bytes_ += held_size(*arrived.batch);
  held_.push_back(arrived);
}

/// The broker says that the channel is in this one, and what is held came before that.
void ChannelState::drop_held_of_other_epochs(uint64_t epoch) {
  std::erase_if(held_, [this, epoch](const Arrived& held) {
    if (held.first.epoch == epoch) return false;
    held_bytes_ -= held_size(*held.batch);
    return true;
  });
}

/// Handles a batch by its place.
void ChannelState::take(Position first, std::shared_ptr<const PublishBatch> batch) {
  if (first.epoch != at_.epoch) {
    lose({first.epoch, first.offset - 1}, std::nullopt);
  } else if (first.offset > at_.offset + 1) {
    held_bytes_ += held_size(*batch);
    held_.push_front({first, std::move(batch)});
    promised_ = {first.epoch, first.offset - 1};
    return mend();
  } else if (const uint64_t known = at_.offset + 1 - first.offset; known > 0) {
    if (known >= batch->count()) return;
    batch = without_first(*batch, known);
    first.offset += known;
  }
  deliver(batch, first);
}

/// Returns how many connections get it.
size_t ChannelState::deliver(const std::shared_ptr<const PublishBatch>& batch, Position first) {
  at_ = {first.epoch, first.offset + batch->count() - 1};
  if (!missed_.span.empty()) missed_ = {};
  if (keeps_history()) history_.add(batch, first.offset, Clock::now());
  const size_t receivers = members_.receivers(batch->origin());
  if (receivers == 0) return 0;
  const auto channel = channel_.lock();
  if (!channel) return 0;
  const FrameKeys keys = rule_.slow == SlowPolicy::kConflate ? keys_of(*batch) : nullptr;
  const auto messages = static_cast<uint32_t>(batch->count());
  const ChannelMembers::Count* before = nullptr;
  Span plain;
  Span span;
  for (const ChannelMembers::Count& count : members_.counts()) {
    const Audience& audience = count.audience;
    const bool same_dialect = before && before->audience.dialect == audience.dialect;
    const bool same_form = same_dialect && before->audience.deflated == audience.deflated;
    if (!same_dialect) plain = log(audience.dialect).append(*batch, first);
    if (!same_form) span = audience.deflated ? deflate(audience.dialect, plain) : plain;
    if (!same_form || before->shard != count.shard)
      outlets_->shards[count.shard]->post(Delivery{channel,
                                                   audience.dialect,
                                                   audience.deflated,
                                                   {span, at_, messages, batch->origin(), keys}});
    before = &count;
  }
  published_since_trim_ = true;
  const auto add = [](std::atomic<uint64_t>& total, uint64_t n) {
    total.store(total.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  };
  add(channel->totals.messages, messages);
  add(channel->totals.deliveries, messages * receivers);
  add(channel->totals.bytes, batch->bytes());
  return receivers;
}

FrameKeys ChannelState::keys_of(const PublishBatch& batch) const {
  auto keys = std::make_shared<std::vector<std::string>>();
  std::string scratch;
  for (size_t i = 0; i < batch.count(); ++i) {
    std::string& key = keys->emplace_back();
    const JsonValue payload(batch.payload(i));
    if (!payload.is(JsonKind::kObject)) continue;
    for (JsonMembers members(payload); members.next();)
      if (members.key(scratch) == rule_.conflate_key) key = members.value().raw();
  }
  return keys;
}

/// Once for everybody who has agreed to it, on this node.
Span ChannelState::deflate(Dialect dialect, const Span& plain) {
  // For all channels that this thread encodes: a compressor takes 0.2 MB.
  thread_local net::websocket::MessageDeflater deflater;
  thread_local std::string out;
  if (out.size() < plain.size()) out.resize(plain.size());
  const size_t bytes = deflater.recode({plain.data(), plain.size()}, out.data());
  if (bytes == plain.size()) return plain;
  return log(dialect, true).append(std::string_view(out).substr(0, bytes));
}

ChannelLog& ChannelState::log(Dialect dialect, bool deflated) {
  auto& log = (deflated ? deflated_ : logs_)[static_cast<size_t>(dialect)];
  if (!log) log = std::make_unique<ChannelLog>(dialect, name_, rule_.is_lossy(), outlets_->memory);
  return *log;
}

// ---- questions, and the end ----

PresencePage ChannelState::presence(const PresenceQuery& query) const {
  size_t below = members_.size();
  size_t first = 0;
  const char* end = query.cursor.data() + query.cursor.size();
  if (std::from_chars(query.cursor.data(), end, below).ptr != end) below = 0;
  PresencePage page;
  page.members_json = members_.presence_json(below, query.limit, first);
  page.count = members_.size();
  page.identities = members_.identities();
  if (first > 0) page.next = std::to_string(first);
  return page;
}

HistoryPage ChannelState::read_history(Position since, size_t limit) {
  history_.expire(Clock::now());
  HistoryPage page{at_, {}};
  uint64_t first = 0;
  const PublishBatch messages =
      history_.read(since.epoch == at_.epoch ? since.offset : 0, limit, first);
  for (size_t i = 0; i < messages.count(); ++i)
    page.messages.push_back({first + i, std::string(messages.payload(i))});
  return page;
}

std::optional<ChannelState::Clock::time_point> ChannelState::take_expiry() {
  if (expiry_told_ || !keeps_history() || !loaded_) return std::nullopt;
  const auto now = Clock::now();
  auto when = history_.next_expiry();
  if (is_unused() && outlets_->broker->history_is_local()) {
    // Its epoch is kept as long as its messages, so that who missed nothing is told just that.
    if (!unused_since_) unused_since_ = now;
    when = std::max(when.value_or(now), *unused_since_ + rule_.history_ttl);
  }
  if (when) expiry_told_ = std::max(*when, now + kExpiryStep);
  return expiry_told_;
}

std::optional<ChannelState::Clock::time_point> ChannelState::expire(Clock::time_point now) {
  expiry_told_.reset();
  history_.expire(now);
  if (!is_unused()) unused_since_.reset();
  if (unused_since_ && history_.empty() && now >= *unused_since_ + rule_.history_ttl) {
    if (const auto channel = channel_.lock()) outlets_->give_up(channel);
    return std::nullopt;
  }
  return take_expiry();
}

void ChannelState::retire() {
  retiring_ = true;
  end_if_retired();
}

void ChannelState::end_if_retired() {
  if (!retiring_ || retired_) return;
  // A member whose answer comes to nobody would be present for ever.
  if (std::any_of(joining_.begin(), joining_.end(),
                  [](const auto& j) { return j.second.phase == Phase::kEntering; }))
    return;
  retired_ = true;
  if (link_ == Link::kDetached) return;
  link_ = Link::kDetached;
  if (const auto channel = channel_.lock()) broker().detach(channel);
}

bool ChannelState::wants_trim() {
  const auto is_large = [](const auto& log) { return log && log->is_large(); };
  const bool large = std::any_of(logs_.begin(), logs_.end(), is_large) ||
                     std::any_of(deflated_.begin(), deflated_.end(), is_large);
  return large && !std::exchange(trim_armed_, true);
}

bool ChannelState::trim() {
  trim_armed_ = std::exchange(published_since_trim_, false);
  if (!trim_armed_)
    for (auto* logs : {&logs_, &deflated_})
      for (auto& log : *logs)
        if (log) log->trim();
  return trim_armed_;
}

}  // namespace raymesh::realtime
