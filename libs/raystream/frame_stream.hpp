// From the bytes of a stream socket to whole frames. A frame that came whole is passed on where the
// read has put it; only one that is cut is copied, and only while it is incomplete is memory held,
// no more than about twice what has come of it, counted against a budget that many connections
// share. One per connection, one thread at a time. (WebSocket messages are whole frames and need
// none of this.)
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>

#include "libs/raystream/frame.hpp"

namespace raymesh::raystream {

/// How many bytes incomplete frames may hold together. Any thread; outlives its streams.
class FrameBudget {
 public:
  explicit FrameBudget(size_t most) : most_(most) {}

  /// False, and nothing taken, when that would be more than the budget.
  bool take(size_t bytes);
  void give_back(size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  size_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  const size_t most_;
  std::atomic<size_t> used_{0};
};

class FrameStream {
 public:
  explicit FrameStream(FrameBudget& budget) : budget_(&budget) {}
  FrameStream(const FrameStream&) = delete;
  FrameStream& operator=(const FrameStream&) = delete;
  ~FrameStream() { release(); }

  struct Next {
    ParseStatus status = ParseStatus::kNeedMore;
    /// kFrame: exactly one frame, until the next call of `next`. To be decrypted in place.
    std::span<char> frame;
    Refusal refusal;  // kRefused
  };

  /// The bytes of one read. They stay where they are until `next` has answered kNeedMore.
  void feed(std::span<char> bytes) { input_ = bytes; }

  /// The next frame. `expected` is asked for anew each time, since a frame may change what may come
  /// after it. Refuses as parse_frame does, and with SERVICE_UNAVAILABLE above the budget.
  Next next(const Expected& expected);

  /// Counts against another budget from now on. Strangers have one of their own, so that they can
  /// use up only that; an attached session moves to the one of its kind. False, and nothing
  /// changed, when the other one has no room for what is held.
  [[nodiscard]] bool move_to(FrameBudget& budget);

  /// Bytes of the incomplete frame.
  size_t buffered() const { return size_; }

 private:
  bool reserve(size_t bytes);
  void fill(size_t bytes);
  void release();

  FrameBudget* budget_;
  std::span<char> input_;
  // Invariant: the first size_ bytes are the start of a frame; whole_ says that `next` handed all
  // of them out.
  std::unique_ptr<char[]> partial_;
  size_t size_ = 0;
  size_t capacity_ = 0;  // taken from the budget
  bool whole_ = false;
};

}  // namespace raymesh::raystream
