#include "services/realtime/channel_log.hpp"

#include <algorithm>
#include <cstring>

#include "libs/base/free_string.hpp"
#include "libs/base/json_writer.hpp"
#include "libs/net/websocket/frame.hpp"
#include "services/realtime/event_encoder.hpp"

namespace raymesh::realtime {

namespace ws = net::websocket;

ChannelLog::ChannelLog(Dialect dialect, std::string_view channel, bool single,
                       SegmentMemory& memory)
    : dialect_(dialect), single_(single), channel_(channel), memory_(memory) {
  prefix_ = R"({"type":"message","channel":)";
  json::append_string(prefix_, channel);
  prefix_ += R"(,"payload":)";
}

size_t ChannelLog::default_bytes(const PublishBatch& batch) const {
  size_t total = 0;
  for (size_t i = 0; i < batch.count(); ++i) {
    const size_t message = prefix_.size() + batch.payload(i).size() + 1;
    total += ws::server_header_bytes(message) + message;
  }
  return total;
}

char* ChannelLog::reserve(size_t bytes) {
  if (segment_.is_unique()) used_ = 0;  // everybody has sent everything
  if (!segment_ || segment_->capacity() - used_ < bytes) {
    const bool busy = segment_ && used_ > 0;
    const size_t wanted = busy ? std::min(2 * segment_->capacity(), kMaxSegment) : kMinSegment;
    segment_ = Segment::create(std::max(wanted, bytes), memory_);
    used_ = 0;
  }
  return segment_->data() + used_;
}

Span ChannelLog::append(const PublishBatch& batch, Position first) {
  if (dialect_ == Dialect::kDefault) return append_default(batch);
  scratch_.clear();
  append_messages(scratch_, dialect_, channel_, batch, first, single_);
  return append(scratch_);
}

Span ChannelLog::append(std::string_view frames) {
  char* out = reserve(frames.size());
  std::memcpy(out, frames.data(), frames.size());
  Span span{segment_, used_, used_ + static_cast<uint32_t>(frames.size())};
  used_ = span.end;
  return span;
}

// The hot path writes straight into the segment.
Span ChannelLog::append_default(const PublishBatch& batch) {
  const size_t bytes = default_bytes(batch);
  char* out = reserve(bytes);
  for (size_t i = 0; i < batch.count(); ++i) {
    const std::string_view payload = batch.payload(i);
    out += ws::write_server_header(out, ws::Opcode::kText, prefix_.size() + payload.size() + 1);
    std::memcpy(out, prefix_.data(), prefix_.size());
    out += prefix_.size();
    std::memcpy(out, payload.data(), payload.size());
    out += payload.size();
    *out++ = '}';
  }
  Span span{segment_, used_, used_ + static_cast<uint32_t>(bytes)};
  used_ = span.end;
  return span;
}

void ChannelLog::trim() {
  if (!is_large()) return;
  segment_ = {};
  used_ = 0;
  free_string(scratch_);
}

}  // namespace raymesh::realtime
