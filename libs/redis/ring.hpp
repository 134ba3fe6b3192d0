// Consistent hashing: which of several primaries holds a partition. Every node that has the same
// list of primaries, in any order, picks the same one, and a primary more or less moves only its
// own share of the partitions. Immutable after construction: any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace raymesh::redis {

class Ring {
 public:
  /// `names` identify the primaries (Address::name()); not empty, no duplicates.
  explicit Ring(const std::vector<std::string>& names);

  /// Index into `names`.
  size_t pick(std::string_view partition) const;

  /// 64 bits, the same on every machine and in every version (FNV-1a, mixed).
  static uint64_t hash(std::string_view bytes);

 private:
  // Enough points that the largest share of three primaries stays within 15 % of the mean.
  static constexpr int kPointsPerPrimary = 256;
  std::vector<std::pair<uint64_t, uint32_t>> points_;  // sorted; empty for one primary
};

}  // namespace raymesh::redis
