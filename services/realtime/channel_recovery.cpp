// The part of ChannelState that deals with what was missed: the broker's link was away, a hole
// shows in what arrives, or somebody who comes back wants what is older than what this node has
// seen.
#include <deque>

#include "services/realtime/channel_state.hpp"
#include "services/realtime/probe.hpp"

namespace raymesh::realtime {

void ChannelState::refresh(const Refresh& refresh) {
  const auto channel = channel_.lock();
  if (!channel || link_ == Link::kDetached) return;
  if (refresh.reenter) {
    for (const ChannelMembers::Entry& entry : members_.entries())
      broker().enter(channel, entry.member, [](const Result<std::string>&) {});
    for (auto& [connection, joining] : joining_)
      if (joining.phase == Phase::kRecovering)
        broker().enter(channel, joining.join.member, [](const Result<std::string>&) {});
    if (watching_) broker().watch(channel, true);
  }
  broker().refreshed(channel, refresh.number, [weak = channel_](Result<Position> at) {
    if (const auto c = weak.lock()) tell(*c, Refreshed{std::move(at)});
  });
}

void ChannelState::refreshed(const Result<Position>& at) {
  // Without an answer the link is gone again, and there will be another Refresh.
  if (at.ok()) catch_up(*at);
}

/// False when it was there already.
bool ChannelState::catch_up(Position at) {
  if (!at || link_ == Link::kDetached || link_ == Link::kAttaching) return true;
  if (at.epoch == at_.epoch && at.offset <= at_.offset) return false;
  drop_held_of_other_epochs(at.epoch);
  promised_ = at;
  mend();
  return true;
}

/// Asks the broker's history for what is missing up to `promised_`.
void ChannelState::mend() {
  if (promised_.epoch != at_.epoch || !keeps_history()) {
    std::optional<uint64_t> lost;
    if (promised_.epoch == at_.epoch) lost = promised_.offset - at_.offset;
    lose(promised_, lost);
    return live();
  }
  link_ = Link::kMending;
  load_history();
}

void ChannelState::load_history() {
  if (std::exchange(loading_, true)) {
    ask_again_ |= link_ == Link::kMending;
    return;
  }
  loading_rest_ = link_ == Link::kMending;
  broker().history(project_, name_, channel_.lock(), link_ == Link::kMending ? at_ : Position{},
                   rule_.history_messages, [weak = channel_](Result<HistoryPage> page) {
                     if (const auto c = weak.lock())
                       tell(*c,
                            HistoryLoaded{std::make_shared<Result<HistoryPage>>(std::move(page))});
                   });
}

void ChannelState::history_loaded(Result<HistoryPage>& page) {
  loading_ = false;
  if (std::exchange(ask_again_, false) && link_ == Link::kMending) return load_history();
  if (link_ == Link::kMending) {
    const bool fits = page.ok() && page->latest.epoch == at_.epoch && !page->messages.empty() &&
                      page->messages.front().offset <= at_.offset + 1;
    if (fits) {
      auto batch = std::make_shared<PublishBatch>();
      const uint64_t first = page->messages.front().offset;
      for (const StoredMessage& message : page->messages) batch->add(message.payload);
      take({at_.epoch, first}, std::move(batch));
    }
    // A page that does not reach as far: the rest is neither here nor on its way.
    if (promised_.epoch == at_.epoch && promised_.offset > at_.offset)
      lose(promised_, promised_.offset - at_.offset);
    return live();
  }
  if (link_ != Link::kLive) return;
  // The rest of what was given up meanwhile: it says nothing of what is older.
  if (loading_rest_) return complete_waiting();
  if (page.ok()) fill_history(*page);
  loaded_ = true;
  complete_waiting();
  loaded_ = page.ok() && page->latest.epoch == at_.epoch;
}

void ChannelState::complete_waiting() {
  // Those first who have their answer: the next question is for the others.
  std::deque<ConnectionId> waiting;
  for (const auto& [connection, joining] : joining_) {
    if (joining.phase != Phase::kRecovering) continue;
    if (joining.checked) {
      waiting.push_front(connection);
    } else {
      waiting.push_back(connection);
    }
  }
  for (const ConnectionId connection : waiting) complete(connection);
}

/// Puts what the broker keeps before what this actor has seen itself.
void ChannelState::fill_history(const HistoryPage& page) {
  if (page.latest.epoch != at_.epoch || page.messages.empty()) return;
  const uint64_t before = history_.empty() ? at_.offset + 1 : history_.first();
  const uint64_t first = page.messages.front().offset;
  if (first >= before || page.messages.back().offset + 1 < before) return;
  auto older = std::make_shared<PublishBatch>();
  for (const StoredMessage& message : page.messages)
    if (message.offset < before) older->add(message.payload);
  history_.add_before(older, first, Clock::now());
}

/// Goes on with what was held.
void ChannelState::live() {
  link_ = Link::kLive;
  while (!held_.empty() && link_ == Link::kLive) {
    Arrived next = std::move(held_.front());
    held_.pop_front();
    held_bytes_ -= held_size(*next.batch);
    const bool known =
        next.first.epoch == at_.epoch && next.first.offset + next.batch->count() <= at_.offset + 1;
    if (!known) take(next.first, std::move(next.batch));
  }
  if (link_ == Link::kLive) complete_waiting();
}

void ChannelState::lose(Position at, std::optional<uint64_t> messages) {
  at_ = at;
  history_.clear();
  if (outlets_->probe) outlets_->probe->lost();
  loaded_ = outlets_->broker->history_is_local();
  const auto channel = channel_.lock();
  if (!channel) return;
  std::vector<bool> told(outlets_->shards.size());
  for (const ChannelMembers::Count& count : members_.counts()) {
    if (told[count.shard]) continue;
    told[count.shard] = true;
    outlets_->shards[count.shard]->post(Lost{channel, at_, messages});
  }
}

}  // namespace raymesh::realtime
