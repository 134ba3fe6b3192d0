#include "services/realtime/channel_members.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "libs/base/json_writer.hpp"

namespace raymesh::realtime {

bool ChannelMembers::add(MemberPtr member, Audience audience) {
  if (!index_.emplace(member->connection, order_.size()).second) return false;
  order_.push_back({std::move(member), audience});
  count(order_.back(), 1);
  return true;
}

MemberPtr ChannelMembers::remove(ConnectionId connection) {
  const auto it = index_.find(connection);
  if (it == index_.end()) return nullptr;
  const size_t at = it->second;
  index_.erase(it);
  count(order_[at], -1);
  MemberPtr removed = std::move(order_[at].member);
  if (at + 1 != order_.size()) {
    order_[at] = std::move(order_.back());
    index_[order_[at].member->connection] = at;
  }
  order_.pop_back();
  return removed;
}

void ChannelMembers::count(const Entry& entry, int by) {
  const auto order = [](uint32_t shard, Audience a) {
    return std::make_tuple(a.dialect, a.deflated, shard, a.watches);
  };
  const auto shard = static_cast<uint32_t>(entry.member->connection.shard());
  const auto key = order(shard, entry.audience);
  auto it = std::lower_bound(
      counts_.begin(), counts_.end(), key,
      [&](const Count& c, const auto& k) { return order(c.shard, c.audience) < k; });
  if (it == counts_.end() || order(it->shard, it->audience) != key)
    it = counts_.insert(it, {shard, entry.audience, 0});
  it->members += static_cast<uint32_t>(by);
  if (it->members == 0) counts_.erase(it);
  if (entry.audience.watches) watchers_ += static_cast<size_t>(by);

  const std::string& identity = entry.member->identity;
  if (identity.empty()) {
    anonymous_ += static_cast<size_t>(by);
  } else if (by > 0) {
    ++identities_[identity];
  } else if (const auto known = identities_.find(identity); --known->second == 0) {
    identities_.erase(known);
  }
}

std::string ChannelMembers::presence_json(size_t below, size_t limit, size_t& first) const {
  std::string out = "[";
  const size_t end = std::min(order_.size(), below);
  first = end - std::min(limit, end);
  for (size_t i = first; i < end; ++i) {
    if (out.size() > 1) out += ',';
    append_member_json(out, *order_[i].member);
  }
  out += ']';
  return out;
}

void append_member_json(std::string& out, const Member& member) {
  json::Object entry(out);
  entry.string("id", member.id);
  if (!member.identity.empty()) entry.string("identity", member.identity);
  if (!member.data.empty()) entry.raw("data", member.data);
  entry.end();
}

}  // namespace raymesh::realtime
