#include "libs/raystream/outgoing_buffer.hpp"

#include <algorithm>
#include <cstring>

namespace raymesh::raystream {

char* OutgoingBuffer::extend(size_t count) {
  if (count > capacity_ - end_) {
    const size_t held = size();
    if (held + count <= capacity_ && begin_ >= held) {
      // At least half of what was used has left: moving the rest costs less than what it took.
      std::memcpy(data_.get(), data_.get() + begin_, held);
    } else {
      const size_t grown = std::max({held + count, capacity_ * 2, size_t{1'024}});
      std::unique_ptr<char[]> larger(new char[grown]);
      if (held > 0) std::memcpy(larger.get(), data_.get() + begin_, held);
      data_ = std::move(larger);
      capacity_ = grown;
    }
    begin_ = 0;
    end_ = held;
  }
  char* room = data_.get() + end_;
  end_ += count;
  return room;
}

void OutgoingBuffer::append(std::string_view bytes) {
  if (!bytes.empty()) std::memcpy(extend(bytes.size()), bytes.data(), bytes.size());
}

void OutgoingBuffer::consumed(size_t count) {
  begin_ += std::min(count, size());
  if (begin_ != end_) return;
  begin_ = end_ = 0;
}

void OutgoingBuffer::release() {
  if (!empty()) return;
  data_.reset();
  begin_ = end_ = capacity_ = 0;
}

}  // namespace raymesh::raystream
