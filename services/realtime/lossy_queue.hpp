// What a slow connection is not sent for now, of channels whose rule lets messages go: how much was
// dropped, or the latest frame of each key. Exists only while the socket is full. Pure; owned by
// the connection, used on its shard's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "services/realtime/position.hpp"
#include "services/realtime/segment.hpp"

namespace raymesh::realtime {

class Channel;

class LossyQueue {
 public:
  struct Gap {
    const Channel* channel = nullptr;
    Position last;                    // of the last message that was dropped
    std::optional<uint64_t> lost{0};  // how many; none: nobody knows
    bool never_came = false;          // some of them to this node already
  };

  void drop(const Channel& channel, Position at);
  bool is_dropping(const Channel& channel) const;
  /// Messages up to `at`, behind those that were dropped, never came to this node. True when the
  /// gap that waits tells of them, too: told before it, their gap would be in the wrong place.
  bool lose(const Channel& channel, Position at, std::optional<uint64_t> messages);
  /// Replaces the frame of the same channel and key, which then comes last.
  void keep_latest(const Channel& channel, const std::string& key, Span frame);
  /// True when there was something.
  bool forget(const Channel& channel);

  std::optional<Gap> take_gap();
  /// The oldest frame; empty when there is none.
  Span take_frame();
  bool empty() const { return gaps_.empty() && latest_.empty(); }
  /// Of the frames and their keys.
  size_t bytes() const { return bytes_; }

 private:
  struct Frame {
    const Channel* channel;
    std::string key;
    Span bytes;  // of a segment of its own; empty: replaced by a later one
  };
  static std::string name(const Channel& channel, const std::string& key);
  void clear(Frame& frame);

  std::vector<Gap> gaps_;
  std::deque<Frame> frames_;
  uint64_t taken_ = 0;                                // frames that have left the front
  std::unordered_map<std::string, uint64_t> latest_;  // name -> taken_ + index in frames_
  size_t bytes_ = 0;
};

}  // namespace raymesh::realtime
