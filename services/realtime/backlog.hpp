// What one connection has still to be sent, when its socket did not take everything at once. Spans
// of shared frames, so that a hundred slow readers of one channel hold its bytes once. Exists only
// while there is something to send. Pure; owned by the connection, used on its shard's thread.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <deque>
#include <span>

#include "services/realtime/segment.hpp"

namespace raymesh::realtime {

class Backlog {
 public:
  /// `sent` bytes of the span are gone already; a span cut so must be the first one.
  void push(Span span, size_t sent = 0);
  /// Appends all of `other`, of which nothing was sent, and leaves it empty.
  void take(Backlog& other);
  /// The first pieces in order, at most `room` of them.
  size_t gather(std::span<iovec> room) const;
  /// `bytes` of what gather showed were sent.
  void consume(size_t bytes);
  /// Drops all but the frames that have begun to go out: what must still be sent before a close
  /// frame. `committed` bytes more than were sent are promised to a TLS stream (FdStream::write).
  void keep_started(size_t committed);

  bool empty() const { return bytes_ == 0; }
  size_t bytes() const { return bytes_; }
  /// So many bytes more may wait here than in other backlogs.
  void allow(size_t bytes) { allowed_ += bytes; }
  size_t allowed() const { return allowed_; }

 private:
  std::deque<Span> spans_;
  size_t sent_ = 0;  // of the first span
  // Invariant: the sum of the spans' sizes, less sent_.
  size_t bytes_ = 0;
  size_t allowed_ = 0;
};

}  // namespace raymesh::realtime
