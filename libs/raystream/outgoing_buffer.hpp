// Bytes on their way to a socket: frames are encrypted where they lie in it, one behind the other,
// and leave in one write. Grows as needed and is used again, so that a session under way allocates
// nothing. It gives memory back in `release` only: its owner calls that when a session falls idle.
// Belongs to whoever writes to the socket, one thread at a time. The bound is the caller's, too:
// look at size() before asking for more.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

namespace raymesh::raystream {

class OutgoingBuffer {
 public:
  /// What is still to be sent. Stays valid until the next `extend`.
  std::string_view bytes() const { return {data_.get() + begin_, end_ - begin_}; }
  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  /// What it holds of the heap.
  size_t capacity() const { return capacity_; }

  /// Room for `count` more bytes at the end, not initialised, which the caller writes before
  /// anything else happens to the buffer.
  char* extend(size_t count);
  void append(std::string_view bytes);
  /// The socket has taken the first `count` bytes.
  void consumed(size_t count);
  /// Gives the memory back when nothing is to be sent.
  void release();

 private:
  // Invariant: begin_ <= end_ <= capacity_; both are 0 when nothing is to be sent.
  std::unique_ptr<char[]> data_;
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t capacity_ = 0;
};

}  // namespace raymesh::raystream
