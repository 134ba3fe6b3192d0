// A piece of memory that holds encoded frames, shared by a channel's log and every shard that has
// still to send some of them. Bytes are written once by the log, before the span that covers them
// is handed out, and never change while a span refers to them, so readers need no lock. Any thread
// may hold and drop references; SegmentMemory counts what all of them keep, for the node's bound.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace raymesh::realtime {

/// Bytes that segments of this node hold. Outlives every segment.
class SegmentMemory {
 public:
  size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  friend class Segment;
  std::atomic<size_t> bytes_{0};
};

class SegmentRef;

class Segment {
 public:
  static SegmentRef create(size_t capacity, SegmentMemory& memory);

  char* data() { return reinterpret_cast<char*>(this + 1); }
  const char* data() const { return reinterpret_cast<const char*>(this + 1); }
  size_t capacity() const { return capacity_; }

 private:
  friend class SegmentRef;
  Segment(size_t capacity, SegmentMemory& memory)
      : capacity_(static_cast<uint32_t>(capacity)), memory_(memory) {}
  void release();

  std::atomic<uint32_t> references_{1};
  uint32_t capacity_;
  SegmentMemory& memory_;
};

class SegmentRef {
 public:
  SegmentRef() = default;
  SegmentRef(const SegmentRef& o) : segment_(o.segment_) {
    if (segment_) segment_->references_.fetch_add(1, std::memory_order_relaxed);
  }
  SegmentRef(SegmentRef&& o) noexcept : segment_(std::exchange(o.segment_, nullptr)) {}
  SegmentRef& operator=(SegmentRef o) noexcept {
    std::swap(segment_, o.segment_);
    return *this;
  }
  ~SegmentRef() {
    if (segment_) segment_->release();
  }

  explicit operator bool() const { return segment_ != nullptr; }
  Segment* operator->() const { return segment_; }
  bool operator==(const SegmentRef& o) const { return segment_ == o.segment_; }
  /// No one else refers to the segment: its owner may write it anew. Acquires what others did with
  /// it before they let go.
  bool is_unique() const {
    return segment_ && segment_->references_.load(std::memory_order_acquire) == 1;
  }

 private:
  friend class Segment;
  explicit SegmentRef(Segment* segment) : segment_(segment) {}
  Segment* segment_ = nullptr;
};

/// Whole frames in a segment: bytes [begin, end).
struct Span {
  SegmentRef segment;
  uint32_t begin = 0;
  uint32_t end = 0;

  /// The bytes in a segment of their own.
  static Span copy(std::string_view bytes, SegmentMemory& memory);

  const char* data() const { return segment->data() + begin; }
  size_t size() const { return end - begin; }
  bool empty() const { return begin == end; }
  /// True when `next` goes on where this one ends; then the two are one.
  bool joins(const Span& next) const { return segment == next.segment && end == next.begin; }
};

}  // namespace raymesh::realtime
