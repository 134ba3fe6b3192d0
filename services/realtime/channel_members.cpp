#include "services/realtime/channel_members.hpp"

#include "libs/base/json_writer.hpp"

namespace raymesh::realtime {

bool ChannelMembers::add(MemberPtr member) {
  const ConnectionId connection = member->connection;
  if (!index_.emplace(connection, order_.size()).second) return false;
  ++per_shard_[connection.shard()];
  order_.push_back(std::move(member));
  return true;
}

bool ChannelMembers::remove(ConnectionId connection) {
  const auto it = index_.find(connection);
  if (it == index_.end()) return false;
  const size_t at = it->second;
  index_.erase(it);
  if (at + 1 != order_.size()) {
    order_[at] = std::move(order_.back());
    index_[order_[at]->connection] = at;
  }
  order_.pop_back();
  --per_shard_[connection.shard()];
  return true;
}

std::string ChannelMembers::presence_json() const {
  std::string out = "[";
  for (const MemberPtr& member : order_) {
    if (out.size() > 1) out += ',';
    json::Object entry(out);
    entry.string("id", member->id);
    if (!member->identity.empty()) entry.string("identity", member->identity);
    entry.end();
  }
  out += ']';
  return out;
}

}  // namespace raymesh::realtime
