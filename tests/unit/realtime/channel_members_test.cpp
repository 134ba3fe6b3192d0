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

TEST(ChannelMembersTest, CountsEachConnectionOnce) {
  ChannelMembers members(2);
  EXPECT_TRUE(members.add(member(0, 1)));
  EXPECT_FALSE(members.add(member(0, 1)));
  EXPECT_TRUE(members.add(member(1, 1)));
  EXPECT_EQ(members.size(), 2u);
  EXPECT_EQ(members.on_shard(0), 1u);
  EXPECT_EQ(members.on_shard(1), 1u);
  EXPECT_TRUE(members.remove(ConnectionId::make(0, 1, 1)));
  EXPECT_FALSE(members.remove(ConnectionId::make(0, 1, 1)));
  EXPECT_FALSE(members.remove(ConnectionId::make(1, 1, 2)));  // another use of the slot
  EXPECT_EQ(members.size(), 1u);
  EXPECT_EQ(members.on_shard(0), 0u);
}

TEST(ChannelMembersTest, LeavesTheOriginOut) {
  ChannelMembers members(1);
  members.add(member(0, 1));
  members.add(member(0, 2));
  EXPECT_EQ(members.receivers({}), 2u);
  EXPECT_EQ(members.receivers(ConnectionId::make(0, 1, 1)), 1u);
  EXPECT_EQ(members.receivers(ConnectionId::make(0, 9, 1)), 2u);
}

TEST(ChannelMembersTest, PresenceStaysRightWhileMembersComeAndGo) {
  ChannelMembers members(1);
  EXPECT_EQ(members.presence_json(), "[]");
  members.add(member(0, 1, "a\"b"));
  members.add(member(0, 2));
  members.add(member(0, 3, "c"));
  EXPECT_EQ(members.presence_json(),
            R"([{"id":"id01","identity":"a\"b"},{"id":"id02"},{"id":"id03","identity":"c"}])");
  members.remove(ConnectionId::make(0, 1, 1));
  EXPECT_EQ(members.presence_json(), R"([{"id":"id03","identity":"c"},{"id":"id02"}])");
  members.remove(ConnectionId::make(0, 3, 1));
  members.remove(ConnectionId::make(0, 2, 1));
  EXPECT_EQ(members.presence_json(), "[]");
}

}  // namespace
}  // namespace raymesh::realtime
