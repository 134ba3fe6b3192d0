#include "services/realtime/channel_history.hpp"

#include <algorithm>

namespace raymesh::realtime {

void ChannelHistory::add(const std::shared_ptr<const PublishBatch>& batch, uint64_t first,
                         Clock::time_point now) {
  if (!rule_.keeps_history()) return;
  if (first_ + messages_.size() != first) clear();
  if (messages_.empty()) first_ = first;
  for (size_t i = 0; i < batch->count(); ++i) {
    messages_.push_back({batch, static_cast<uint32_t>(i), now});
    bytes_ += batch->payload(i).size();
  }
  while (messages_.size() > rule_.history_messages || bytes_ > rule_.history_bytes) drop_oldest();
  expire(now);
}

void ChannelHistory::add_before(const std::shared_ptr<const PublishBatch>& batch, uint64_t first,
                                Clock::time_point now) {
  if (messages_.empty()) return add(batch, first, now);
  for (size_t i = batch->count(); i-- > 0;) {
    const size_t bytes = batch->payload(i).size();
    if (messages_.size() >= rule_.history_messages || bytes_ + bytes > rule_.history_bytes) return;
    messages_.push_front({batch, static_cast<uint32_t>(i), now});
    bytes_ += bytes;
    --first_;
  }
}

void ChannelHistory::clear() {
  messages_.clear();
  bytes_ = 0;
}

void ChannelHistory::drop_oldest() {
  const Stored& oldest = messages_.front();
  bytes_ -= oldest.batch->payload(oldest.index).size();
  messages_.pop_front();
  ++first_;
}

void ChannelHistory::expire(Clock::time_point now) {
  while (!messages_.empty() && now - messages_.front().at >= rule_.history_ttl) drop_oldest();
}

std::optional<ChannelHistory::Clock::time_point> ChannelHistory::next_expiry() const {
  if (messages_.empty()) return std::nullopt;
  return messages_.front().at + rule_.history_ttl;
}

PublishBatch ChannelHistory::read(uint64_t offset, size_t limit, uint64_t& first) const {
  PublishBatch out;
  first = std::max(first_, offset + 1);
  const uint64_t end = first_ + messages_.size();
  for (uint64_t at = first; at < end && out.count() < limit; ++at) {
    const Stored& message = messages_[at - first_];
    out.add(message.batch->payload(message.index));
  }
  return out;
}

}  // namespace raymesh::realtime
