// Messages on their way into one channel, from one origin: what a socket's read or a gRPC call has
// brought. Filled by one thread, immutable once it is handed to the channel's actor.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "services/realtime/connection_id.hpp"

namespace raymesh::realtime {

class PublishBatch {
 public:
  PublishBatch() = default;
  explicit PublishBatch(ConnectionId origin) : origin_(origin) {}
  /// Of payloads that lie one behind the other; `ends` are where each ends in `bytes`.
  PublishBatch(ConnectionId origin, std::string bytes, std::vector<uint32_t> ends)
      : origin_(origin), bytes_(std::move(bytes)), ends_(std::move(ends)) {}

  /// `payload` is a valid JSON value without space around it.
  void add(std::string_view payload) {
    bytes_ += payload;
    ends_.push_back(static_cast<uint32_t>(bytes_.size()));
  }

  /// The connection that must not get its own messages back; none for a publish by gRPC and by
  /// those who want an echo.
  ConnectionId origin() const { return origin_; }
  size_t count() const { return ends_.size(); }
  size_t bytes() const { return bytes_.size(); }
  std::string_view all_payloads() const { return bytes_; }
  std::string_view payload(size_t i) const {
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }

 private:
  ConnectionId origin_;
  std::string bytes_;
  std::vector<uint32_t> ends_;
};

}  // namespace raymesh::realtime
