// The bytes of one channel in one dialect: every message is encoded once, as the frame that all
// subscribers of the dialect get, behind the one before it. What the log hands out are spans of
// shared memory, so a subscriber that keeps up is one send() of however many messages have come
// since the last one, without any queue of its own. Owned by the channel's actor; pure.
//
// Memory: the log keeps one segment, and starts again at its front when every shard has sent all of
// it; a segment that is still being read is left to its readers, and the next one is twice as
// large, up to kMaxSegment. An idle channel so keeps about as much as its last message took.
#pragma once

#include <string>
#include <string_view>

#include "services/realtime/dialect.hpp"
#include "services/realtime/position.hpp"
#include "services/realtime/publish_batch.hpp"
#include "services/realtime/segment.hpp"

namespace raymesh::realtime {

class ChannelLog {
 public:
  static constexpr size_t kMinSegment = 512;
  static constexpr size_t kMaxSegment = 256u << 10;

  /// `channel` is the name that subscribers see. `single`: a frame for each message.
  ChannelLog(Dialect dialect, std::string_view channel, bool single, SegmentMemory& memory);

  Dialect dialect() const { return dialect_; }
  /// Encodes the batch's messages, in order, in one span. `batch` is not empty; `first` is the
  /// position of its first message.
  Span append(const PublishBatch& batch, Position first);
  /// Appends frames that are encoded already.
  Span append(std::string_view frames);
  /// Forgets the segment, when it is larger than an idle channel should keep. Spans live on.
  void trim();
  /// What `trim` would free is being held.
  bool is_large() const { return segment_ && segment_->capacity() > kKeepIdle; }

 private:
  static constexpr size_t kKeepIdle = 4u << 10;

  size_t default_bytes(const PublishBatch& batch) const;
  Span append_default(const PublishBatch& batch);
  char* reserve(size_t bytes);

  const Dialect dialect_;
  const bool single_;
  const std::string channel_;
  std::string prefix_;   // default frames: {"type":"message","channel":"...","payload":
  std::string scratch_;  // the others
  SegmentMemory& memory_;
  SegmentRef segment_;
  uint32_t used_ = 0;
};

}  // namespace raymesh::realtime
