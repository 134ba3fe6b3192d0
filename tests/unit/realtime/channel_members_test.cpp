#include "services/realtime/channel_members.hpp"

#include <gtest/gtest.h>

namespace raymesh::realtime {
namespace {

MemberPtr member(size_t shard, uint32_t slot, const std::string& identity = {}) {
  auto m = std::make_shared<Member>();
  m->connection = ConnectionId::make(shard, slot, 1);
  m->id = "id" + std::to_string(shard) + std::to_string(slot);
  m->identity = identity;
  return m;
}

size_t on_shard(const ChannelMembers& members, uint32_t shard) {
  size_t out = 0;
  for (const auto& count : members.counts())
    if (count.shard == shard) out += count.members;
  return out;
}

std::string all(const ChannelMembers& members) {
  size_t first = 0;
  return members.presence_json(members.size(), members.size(), first);
}

TEST(ChannelMembersTest, CountsEachConnectionOnce) {
  ChannelMembers members;
  EXPECT_TRUE(members.add(member(0, 1), {}));
  EXPECT_FALSE(members.add(member(0, 1), {}));
  EXPECT_TRUE(members.add(member(1, 1), {}));
  EXPECT_EQ(members.size(), 2u);
  EXPECT_EQ(on_shard(members, 0), 1u);
  EXPECT_EQ(on_shard(members, 1), 1u);
  EXPECT_TRUE(members.remove(ConnectionId::make(0, 1, 1)));
  EXPECT_FALSE(members.remove(ConnectionId::make(0, 1, 1)));
  EXPECT_FALSE(members.remove(ConnectionId::make(1, 1, 2)));  // another use of the slot
  EXPECT_EQ(members.size(), 1u);
  EXPECT_EQ(on_shard(members, 0), 0u);
}

TEST(ChannelMembersTest, LeavesTheOriginOut) {
  ChannelMembers members;
  members.add(member(0, 1), {});
  members.add(member(0, 2), {});
  EXPECT_EQ(members.receivers({}), 2u);
  EXPECT_EQ(members.receivers(ConnectionId::make(0, 1, 1)), 1u);
  EXPECT_EQ(members.receivers(ConnectionId::make(0, 9, 1)), 2u);
}

TEST(ChannelMembersTest, PresenceStaysRightWhileMembersComeAndGo) {
  ChannelMembers members;
  EXPECT_EQ(all(members), "[]");
  members.add(member(0, 1, "a\"b"), {});
  members.add(member(0, 2), {});
  members.add(member(0, 3, "c"), {});
  EXPECT_EQ(all(members),
            R"([{"id":"id01","identity":"a\"b"},{"id":"id02"},{"id":"id03","identity":"c"}])");
  members.remove(ConnectionId::make(0, 1, 1));
  EXPECT_EQ(all(members), R"([{"id":"id03","identity":"c"},{"id":"id02"}])");
  members.remove(ConnectionId::make(0, 3, 1));
  members.remove(ConnectionId::make(0, 2, 1));
  EXPECT_EQ(all(members), "[]");
}

TEST(ChannelMembersTest, CountsByDialectShardAndWhoWatches) {
  ChannelMembers members;
  members.add(member(1, 1), {Dialect::kJson, true});
  members.add(member(0, 2), {Dialect::kJson, false});
  members.add(member(0, 3), {Dialect::kJson, true});
  members.add(member(0, 4), {Dialect::kDefault, false});
  members.add(member(0, 5), {Dialect::kDefault, false});
  const auto& counts = members.counts();
  ASSERT_EQ(counts.size(), 4u);
  EXPECT_EQ(counts[0].audience.dialect, Dialect::kDefault);
  EXPECT_EQ(counts[0].members, 2u);
  EXPECT_EQ(counts[1].shard, 0u);
  EXPECT_EQ(counts[2].shard, 0u);
  EXPECT_EQ(counts[3].shard, 1u);
  EXPECT_EQ(members.watchers(), 2u);
  members.remove(ConnectionId::make(1, 1, 1));
  EXPECT_EQ(members.counts().size(), 3u);
  EXPECT_EQ(members.watchers(), 1u);
}

TEST(ChannelMembersTest, CountsDistinctIdentities) {
  ChannelMembers members;
  members.add(member(0, 1, "ada"), {});
  members.add(member(0, 2, "ada"), {});
  members.add(member(0, 3), {});
  members.add(member(0, 4), {});
  EXPECT_EQ(members.identities(), 3u);
  members.remove(ConnectionId::make(0, 1, 1));
  EXPECT_EQ(members.identities(), 3u);
  members.remove(ConnectionId::make(0, 2, 1));
  EXPECT_EQ(members.identities(), 2u);
}

TEST(ChannelMembersTest, PresenceIsReadInPagesAndShowsData) {
  ChannelMembers members;
  auto with_data = std::make_shared<Member>(*member(0, 1, "ada"));
  with_data->data = R"({"x":1})";
  members.add(with_data, {});
  members.add(member(0, 2), {});
  members.add(member(0, 3), {});
  size_t first = 0;
  EXPECT_EQ(members.presence_json(3, 2, first), R"([{"id":"id02"},{"id":"id03"}])");
  EXPECT_EQ(first, 1u);
  EXPECT_EQ(members.presence_json(1, 2, first),
            R"([{"id":"id01","identity":"ada","data":{"x":1}}])");
  EXPECT_EQ(first, 0u);
  EXPECT_EQ(members.presence_json(0, 2, first), "[]");
}

TEST(ChannelMembersTest, WhoIsThereAllTheTimeIsInThePagesWhoeverLeaves) {
  for (uint32_t leaves = 1; leaves <= 6; ++leaves) {
    ChannelMembers members;
    for (uint32_t n = 1; n <= 6; ++n) members.add(member(0, n), {});
    size_t first = 0;
    std::string pages = members.presence_json(6, 2, first);
    members.remove(ConnectionId::make(0, leaves, 1));
    members.add(member(0, 9), {});
    while (first > 0) pages += members.presence_json(first, 2, first);
    for (uint32_t n = 1; n <= 6; ++n)
      EXPECT_TRUE(n == leaves || pages.find("id0" + std::to_string(n)) != std::string::npos)
          << leaves << ": " << pages;
  }
}

}  // namespace
}  // namespace raymesh::realtime
