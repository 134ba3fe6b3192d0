// Who is in a channel on this node: the rules of membership, `delivered` and presence, without
// actors or sockets. Owned by the channel's actor; pure.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "services/realtime/dialect.hpp"
#include "services/realtime/member.hpp"

namespace raymesh::realtime {

class ChannelMembers {
 public:
  struct Entry {
    MemberPtr member;
    Audience audience;
  };
  /// How many members of one kind a shard has; never 0.
  struct Count {
    uint32_t shard;
    Audience audience;
    uint32_t members;
  };

  /// False when the connection is a member already.
  bool add(MemberPtr member, Audience audience);
  /// The member that was removed; nullptr when the connection was none.
  MemberPtr remove(ConnectionId connection);

  size_t size() const { return order_.size(); }
  bool contains(ConnectionId connection) const { return index_.contains(connection); }
  const std::vector<Entry>& entries() const { return order_; }
  /// By dialect, plain before deflated, then by shard.
  const std::vector<Count>& counts() const { return counts_; }
  /// Members that want join and leave events.
  size_t watchers() const { return watchers_; }
  /// How many get a message of `origin`: everybody but the origin itself.
  size_t receivers(ConnectionId origin) const {
    return size() - (origin && index_.contains(origin) ? 1 : 0);
  }
  /// Distinct identities; each connection without one counts as one.
  size_t identities() const { return identities_.size() + anonymous_; }
  /// [{"id":...,"identity"?:...,"data"?:...}]: at most `limit` of the first `below` entries, the
  /// last of them, from `first` on. Who reads from the back to the front so sees everybody who is
  /// there all the time: who leaves is replaced by the last one, who was seen already or comes yet.
  std::string presence_json(size_t below, size_t limit, size_t& first) const;

 private:
  void count(const Entry& entry, int by);

  std::vector<Entry> order_;
  std::unordered_map<ConnectionId, size_t, ConnectionIdHash> index_;
  std::vector<Count> counts_;
  std::unordered_map<std::string, size_t> identities_;
  size_t anonymous_ = 0;
  size_t watchers_ = 0;
};

/// {"id":...,"identity"?:...,"data"?:...}
void append_member_json(std::string& out, const Member& member);

}  // namespace raymesh::realtime
