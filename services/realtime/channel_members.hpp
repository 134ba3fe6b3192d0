// Who is in a channel: the rules of membership, presence and `delivered`, without actors or
// sockets. Owned by the channel's actor; pure.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "services/realtime/member.hpp"

namespace raymesh::realtime {

class ChannelMembers {
 public:
  explicit ChannelMembers(size_t shards) : per_shard_(shards) {}

  /// False when the connection is a member already.
  bool add(MemberPtr member);
  bool remove(ConnectionId connection);

  size_t size() const { return order_.size(); }
  size_t on_shard(size_t shard) const { return per_shard_[shard]; }
  /// How many get a message of `origin`: everybody but the origin itself.
  size_t receivers(ConnectionId origin) const {
    return size() - (origin && index_.contains(origin) ? 1 : 0);
  }
  /// [{"id":...,"identity"?:...}], one entry per connection.
  std::string presence_json() const;

 private:
  std::vector<MemberPtr> order_;
  std::unordered_map<ConnectionId, size_t, ConnectionIdHash> index_;
  std::vector<size_t> per_shard_;
};

}  // namespace raymesh::realtime
