// Events of a channel as raystream sessions get them: each is serialized once, for all sessions of
// the gateway, and only encrypted for each of them. Pure; a block is filled by one thread and
// immutable once it is shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace raymesh::gateway {

/// A place in a channel, as realtime nodes name it.
struct ChannelPosition {
  std::string epoch;  // empty: none
  uint64_t offset = 0;

  bool operator==(const ChannelPosition&) const = default;
};

/// What clients have of it: the offset, 8 bytes, and the epoch.
std::string position_bytes(const ChannelPosition& position);
/// nullopt for what position_bytes does not write.
std::optional<ChannelPosition> parse_position(std::string_view bytes);

/// Serialized Events of one channel, in their order.
class EventBlock {
 public:
  size_t count() const { return items_.size(); }
  std::string_view payload(size_t i) const { return payload(i, i + 1); }
  /// The events [first, end) as one: the first, with the others as its `more`.
  std::string_view payload(size_t first, size_t end) const {
    const size_t begin = items_[first].begin;
    return std::string_view(bytes_).substr(begin, items_[end - 1].end - begin);
  }
  /// Only for those who asked for presence.
  bool is_for_watchers(size_t i) const { return items_[i].for_watchers; }
  bool has_watchers() const { return has_watchers_; }
  size_t bytes() const { return bytes_.size(); }
  /// Where a subscription stands that has got all of it.
  const std::string& position() const { return position_; }

  /// A message larger than a frame of raystream becomes a RESET behind it.
  void add_message(std::string_view channel, const ChannelPosition& at, std::string_view payload);
  /// `member` is its JSON, {"id":...}.
  void add_member(std::string_view channel, const ChannelPosition& at, bool joined,
                  std::string_view member);
  void add_reset(std::string_view channel, const ChannelPosition& at);
  /// JOIN and LEAVE events were missed.
  void add_presence_reset(std::string_view channel, const ChannelPosition& at);
  void add_end(std::string_view channel, const ChannelPosition& at);

 private:
  // Before each event stands what it is as one of the `more` of the event before it.
  struct Item {
    uint32_t begin;
    uint32_t end;
    bool for_watchers;
  };
  void add(std::string_view channel, const ChannelPosition& at, int type, std::string_view id,
           std::string_view data, bool for_watchers);

  std::string bytes_;
  std::vector<Item> items_;
  bool has_watchers_ = false;
  std::string position_;
};
using EventBlockPtr = std::shared_ptr<const EventBlock>;

}  // namespace raymesh::gateway
