// Bytes that wait to be sent: appended at the end, taken from the front. What was taken does not
// stay, even when the queue is never empty. Pure; one thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace raymesh::rpc {

class ByteQueue {
 public:
  /// To append to, nothing else.
  std::string& tail() { return bytes_; }
  std::string_view view() const { return std::string_view(bytes_).substr(taken_); }
  size_t size() const { return bytes_.size() - taken_; }
  bool empty() const { return size() == 0; }
  /// Of memory: at most twice what waits and kCompactBytes, and what appending reserves.
  size_t held() const { return bytes_.size(); }
  size_t capacity() const { return bytes_.capacity(); }

  /// Forgets the first `n` bytes, which are there.
  void take(size_t n) {
    taken_ += n;
    if (taken_ == bytes_.size()) {
      bytes_.clear();
      taken_ = 0;
      if (bytes_.capacity() > kKeepBytes) std::string().swap(bytes_);
    } else if (taken_ >= kCompactBytes && taken_ >= size()) {
      // What moves is no more than what was taken since the last time.
      bytes_.erase(0, taken_);
      taken_ = 0;
    }
  }

 private:
  static constexpr size_t kCompactBytes = 64 << 10;
  // What stays allocated while the queue is empty.
  static constexpr size_t kKeepBytes = 256 << 10;

  std::string bytes_;
  size_t taken_ = 0;
};

}  // namespace raymesh::rpc
