// Names a connection of this node for as long as the process lives: slots of a shard are used
// again, the generation tells one use from the next. A value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace raymesh::realtime {

struct ConnectionId {
  uint32_t generation = 0;  // 0: no connection
  uint32_t place = 0;       // shard in the upper 8 bits, slot in the lower 24

  static constexpr uint32_t kMaxSlots = 1u << 24;
  static constexpr size_t kMaxShards = 256;

  static ConnectionId make(size_t shard, uint32_t slot, uint32_t generation) {
    return {generation, static_cast<uint32_t>(shard) << 24 | slot};
  }
  static ConnectionId from_bits(uint64_t bits) {
    return {static_cast<uint32_t>(bits >> 32), static_cast<uint32_t>(bits)};
  }
  uint64_t bits() const { return static_cast<uint64_t>(generation) << 32 | place; }
  size_t shard() const { return place >> 24; }
  uint32_t slot() const { return place & (kMaxSlots - 1); }
  explicit operator bool() const { return generation != 0; }
  bool operator==(const ConnectionId&) const = default;
};

struct ConnectionIdHash {
  size_t operator()(const ConnectionId& id) const { return std::hash<uint64_t>{}(id.bits()); }
};

}  // namespace raymesh::realtime
