#include "libs/redis/ring.hpp"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <tuple>

namespace raymesh::redis {
namespace {

constexpr uint64_t kFnvStart = 0xcbf29ce484222325u;
constexpr uint16_t kNone = UINT16_MAX;

uint64_t fnv(uint64_t h, std::string_view bytes) {
  for (const unsigned char c : bytes) h = (h ^ c) * 0x100000001b3u;
  return h;
}

/// FNV-1a alone leaves the high bits of short keys close together (finalizer of MurmurHash3).
uint64_t mixed(uint64_t h) {
  h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
  h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53u;
  return h ^ (h >> 33);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

uint64_t Ring::hash(std::string_view bytes) {
  return mixed(fnv(kFnvStart, bytes));
}

size_t Ring::partition(std::string_view key) {
  size_t end = key.size();
  while (end > 0 && !is_digit(key[end - 1])) --end;
  size_t begin = end;
  while (begin > 0 && is_digit(key[begin - 1])) --begin;
  uint64_t number = 0;  // wraps at 2^64, of which kPartitions is a divisor
  for (size_t i = begin; i < end; ++i) number = number * 10 + static_cast<uint64_t>(key[i] - '0');
  const uint64_t rest = fnv(fnv(fnv(kFnvStart, key.substr(0, begin)), "#"), key.substr(end));
  static_assert((kPartitions & (kPartitions - 1)) == 0);
  return static_cast<size_t>((mixed(rest) + number) % kPartitions);
}

Ring::Ring(const std::vector<std::string>& names) {
  assert(!names.empty() && names.size() <= kPartitions);
  if (names.size() < 2) return;
  // Rendezvous hashing with equal shares: each pair of a partition and a primary has a rank, and
  // the pairs are taken in its order, as long as the partition is free and the primary not full.
  struct Pair {
    uint64_t rank;
    uint16_t partition, primary;
  };
  std::vector<uint16_t> by_name(names.size());  // so that the order of the list does not matter
  std::iota(by_name.begin(), by_name.end(), uint16_t{0});
  std::sort(by_name.begin(), by_name.end(),
            [&](uint16_t a, uint16_t b) { return names[a] < names[b]; });
  std::vector<size_t> room(names.size(), kPartitions / names.size());
  for (size_t i = 0; i < kPartitions % names.size(); ++i) ++room[by_name[i]];
  std::vector<Pair> pairs;
  pairs.reserve(kPartitions * names.size());
  for (uint16_t partition = 0; partition < kPartitions; ++partition)
    for (const uint16_t primary : by_name)
      pairs.push_back({hash(names[primary] + '#' + std::to_string(partition)), partition, primary});
  std::stable_sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) {
    return std::tie(a.rank, a.partition) < std::tie(b.rank, b.partition);
  });
  table_.fill(kNone);
  for (const Pair& pair : pairs) {
    if (table_[pair.partition] != kNone || room[pair.primary] == 0) continue;
    table_[pair.partition] = pair.primary;
    --room[pair.primary];
  }
}

}  // namespace raymesh::redis
