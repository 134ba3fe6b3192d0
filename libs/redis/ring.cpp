#include "libs/redis/ring.hpp"

#include <algorithm>

namespace raymesh::redis {

uint64_t Ring::hash(std::string_view bytes) {
  uint64_t h = 0xcbf29ce484222325u;
  for (unsigned char c : bytes) h = (h ^ c) * 0x100000001b3u;
  // FNV-1a alone leaves the high bits of short keys close together (finalizer of MurmurHash3).
  h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
  h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53u;
  return h ^ (h >> 33);
}

Ring::Ring(const std::vector<std::string>& names) {
  if (names.size() < 2) return;
  points_.reserve(names.size() * kPointsPerPrimary);
  for (size_t i = 0; i < names.size(); ++i)
    for (int point = 0; point < kPointsPerPrimary; ++point)
      points_.emplace_back(hash(names[i] + '#' + std::to_string(point)), static_cast<uint32_t>(i));
  // Equal hashes are ordered by name, not by index, so that the order of the list does not matter.
  std::sort(points_.begin(), points_.end(), [&](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : names[a.second] < names[b.second];
  });
}

size_t Ring::pick(std::string_view partition) const {
  if (points_.empty()) return 0;
  auto it = std::lower_bound(points_.begin(), points_.end(),
                             std::pair<uint64_t, uint32_t>(hash(partition), 0));
  return it == points_.end() ? points_.front().second : it->second;
}

}  // namespace raymesh::redis
