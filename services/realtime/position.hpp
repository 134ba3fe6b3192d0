// Where a reader stands in a channel: an epoch, within which offsets rise by one with each message,
// and an offset. Offsets of two epochs say nothing about each other. Values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace raymesh::realtime {

struct Position {
  uint64_t epoch = 0;   // random; 0: none
  uint64_t offset = 0;  // of the last message that was got; the first one has 1

  explicit operator bool() const { return epoch != 0; }
  bool operator==(const Position&) const = default;
};

/// What clients see of an epoch: 16 hexadecimal digits.
std::string epoch_text(uint64_t epoch);
/// Nothing for what epoch_text does not write. A client may so bring an epoch of another kind of
/// broker; it is none of ours and nothing is recovered from it.
std::optional<uint64_t> parse_epoch(std::string_view text);
/// Random and not 0.
uint64_t new_epoch();

/// Offsets are JSON numbers in clients (RFC 8259 section 6), so they stay below 2^53.
inline constexpr uint64_t kMaxOffset = (uint64_t{1} << 53) - 1;

}  // namespace raymesh::realtime
