// The part of RealtimeRelay that hands events over to the threads with subscribers: together what
// one turn has brought, and no faster than those threads take it.
#include <algorithm>
#include <iterator>

#include "services/gateway/core.hpp"
#include "services/gateway/realtime_relay.hpp"

namespace raymesh::gateway {

EventBlock& RealtimeRelay::block_of(Channel& channel) {
  if (!channel.block) {
    channel.block = std::make_shared<EventBlock>();
    unsealed_.push_back(&channel);
  }
  return *channel.block;
}

/// What comes next for the channel is behind what was written until now.
void RealtimeRelay::seal(Channel& channel) {
  if (!channel.block) return;
  std::erase(unsealed_, &channel);
  hand_block(channel);
}

/// Counts it as long as somebody holds it.
EventBlockPtr RealtimeRelay::share(std::shared_ptr<EventBlock> block) {
  const size_t bytes = block->bytes();
  held_events_->fetch_add(bytes, std::memory_order_relaxed);
  const EventBlock* events = block.get();
  return {events, [block = std::move(block), held = held_events_, bytes](const EventBlock*) {
            held->fetch_sub(bytes, std::memory_order_relaxed);
          }};
}

void RealtimeRelay::hand_block(Channel& channel) {
  const EventBlockPtr block = share(std::move(channel.block));
  for (size_t worker = 0; worker < out_.size(); ++worker)
    if (channel.live[worker] > 0) hand(worker, RelayEvents{channel.number, block, {}});
}

void RealtimeRelay::flush() {
  for (Channel* channel : std::exchange(unsealed_, {})) hand_block(*channel);
  for (size_t worker = 0; worker < out_.size(); ++worker) {
    if (out_[worker].empty()) continue;
    size_t bytes = 0;
    for (const RelayItem& item : out_[worker])
      if (const auto* events = std::get_if<RelayEvents>(&item)) bytes += events->block->bytes();
    undelivered_.fetch_add(bytes, std::memory_order_relaxed);
    Inbox& inbox = *inboxes_[worker];
    const std::lock_guard lock(inbox.mutex);
    if (inbox.items.empty())
      inbox.items.swap(out_[worker]);
    else
      std::ranges::move(out_[worker], std::back_inserter(inbox.items));
    out_[worker].clear();
    inbox.bytes += bytes;
    if (!std::exchange(inbox.due, true))
      core_.threads.post(worker, [this, worker] { take(worker); });
  }
  // Above it the streams are not read.
  constexpr size_t kMaxUndelivered = 32u << 20;
  if (!paused_ && undelivered_.load(std::memory_order_relaxed) > kMaxUndelivered) pause_links(true);
}

/// After all that has been read in this turn of the thread.
void RealtimeRelay::flush_later() {
  if (std::exchange(flush_due_, true)) return;
  core_.threads.post(kThread, [this] {
    flush_due_ = false;
    flush();
  });
}

/// On the inbox's thread.
void RealtimeRelay::take(size_t worker) {
  Inbox& inbox = *inboxes_[worker];
  std::vector<RelayItem> items;
  size_t bytes = 0;
  {
    const std::lock_guard lock(inbox.mutex);
    items.swap(inbox.items);
    bytes = std::exchange(inbox.bytes, 0);
    inbox.due = false;
  }
  core_.workers[worker]->relayed.take(items);
  taken(bytes);
}

/// On the thread that has taken them.
void RealtimeRelay::taken(size_t bytes) {
  constexpr size_t kEnough = 16u << 20;
  const size_t before = undelivered_.fetch_sub(bytes, std::memory_order_relaxed);
  if (before <= kEnough || before - bytes > kEnough) return;
  core_.threads.post(kThread, [this] {
    if (paused_ && !closed_) pause_links(false);
  });
}

void RealtimeRelay::pause_links(bool pause) {
  paused_ = pause;
  std::vector<std::shared_ptr<RelayLink>> up;
  for (auto& [address, node] : nodes_)
    if (node->up) up.push_back(node->link);
  for (const auto& link : up) pause ? link->pause() : link->resume();
}

}  // namespace raymesh::gateway
