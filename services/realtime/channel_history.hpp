// The last messages of one channel, in memory: as many as the rule says, by number, bytes and age.
// Owned by the channel's actor; pure.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "services/realtime/channel_rules.hpp"
#include "services/realtime/publish_batch.hpp"

namespace raymesh::realtime {

class ChannelHistory {
 public:
  using Clock = std::chrono::steady_clock;

  explicit ChannelHistory(const ChannelRule& rule) : rule_(rule) {}

  /// Messages with offsets from `first` on. One that does not follow on what is there begins anew.
  void add(const std::shared_ptr<const PublishBatch>& batch, uint64_t first, Clock::time_point now);
  /// Puts older messages, whose last one has the offset before `first()`, in front, as far as there
  /// is room.
  void add_before(const std::shared_ptr<const PublishBatch>& batch, uint64_t first,
                  Clock::time_point now);
  void clear();
  /// Forgets what is too old.
  void expire(Clock::time_point now);
  /// When the next message gets too old; nothing when there is none.
  std::optional<Clock::time_point> next_expiry() const;

  bool empty() const { return messages_.empty(); }
  size_t size() const { return messages_.size(); }
  size_t bytes() const { return bytes_; }
  /// Offset of the oldest one. Not when empty.
  uint64_t first() const { return first_; }
  /// All messages after `offset` are here, when there are any up to `last`.
  bool covers(uint64_t offset, uint64_t last) const {
    return offset >= last || (!empty() && first_ <= offset + 1);
  }
  /// At most `limit` messages with offsets above `offset`. `first` gets the offset of the first.
  PublishBatch read(uint64_t offset, size_t limit, uint64_t& first) const;

 private:
  struct Stored {
    std::shared_ptr<const PublishBatch> batch;  // shared with those who deliver it
    uint32_t index;
    Clock::time_point at;
  };
  void drop_oldest();

  const ChannelRule& rule_;
  std::deque<Stored> messages_;
  // Invariant: messages_[i] has the offset first_ + i; bytes_ is the sum of their payloads.
  uint64_t first_ = 0;
  size_t bytes_ = 0;
};

}  // namespace raymesh::realtime
