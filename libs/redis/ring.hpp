// Which of several primaries holds a key: the key's partition is looked up in a table that gives
// each primary equally many partitions. Every node that has the same list of primaries, in any
// order, has the same table, and a primary more or less moves little more than its own share of the
// partitions (28 % for the fourth, where 25 % is the least). Immutable after construction: any
// thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace raymesh::redis {

class Ring {
 public:
  static constexpr size_t kPartitions = 128;

  /// `names` identify the primaries (Address::name()); not empty, no duplicates, at most
  /// kPartitions.
  explicit Ring(const std::vector<std::string>& names);

  /// Index into `names`.
  size_t pick(std::string_view key) const { return table_[partition(key)]; }

  /// Below kPartitions. Keys that differ only in their last number are in partitions that follow
  /// one another: `room:1` to `room:128` are one in each. By a hash alone, chance would decide, and
  /// of 128 rooms over three primaries one would have 20 % too many or too few every third time.
  static size_t partition(std::string_view key);

  /// 64 bits, the same on every machine and in every version (FNV-1a, mixed).
  static uint64_t hash(std::string_view bytes);

 private:
  std::array<uint16_t, kPartitions> table_{};
};

}  // namespace raymesh::redis
