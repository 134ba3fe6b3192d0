#include "services/realtime/revocation_list.hpp"

#include <gtest/gtest.h>

namespace raymesh::realtime {
namespace {

Revocation identity(const std::string& project, const std::string& value, int64_t keep_until) {
  Revocation out;
  out.by = Revocation::By::kIdentity;
  out.project = project;
  out.value = value;
  out.issued_by = 100;
  out.keep_until = keep_until;
  return out;
}

Grant grant(const std::string& project, const std::string& identity) {
  Grant out;
  out.project = project;
  out.identity = identity;
  out.issued_at = 100;
  return out;
}

TEST(RevocationListTest, AProjectHasItsBoundAndTheOthersHaveTheirs) {
  RevocationList list;
  for (size_t i = 0; i < RevocationList::kMostOfProject; ++i) {
    const Revocation one = identity("greedy", std::to_string(i), 200);
    if (i % 1'000 == 0) {
      ASSERT_TRUE(list.room_for(one, 100).ok()) << i;
    }
    list.add(one, 100);
  }
  const Status full = list.room_for(identity("greedy", "one more", 200), 100);
  ASSERT_FALSE(full.ok());
  EXPECT_TRUE(full.error().is(errors::kRateLimited));
  EXPECT_TRUE(list.room_for(identity("greedy", "7", 300), 100).ok()) << "it is there already";
  EXPECT_TRUE(list.room_for(identity("other", "one", 200), 100).ok());
  EXPECT_TRUE(list.is_revoked(grant("greedy", "7")));
  EXPECT_FALSE(list.is_revoked(grant("other", "7")));
}

TEST(RevocationListTest, WhatHasExpiredMakesRoom) {
  RevocationList list;
  for (size_t i = 0; i < RevocationList::kMostOfProject; ++i)
    list.add(identity("p", std::to_string(i), i < 10 ? 150 : 1'000), 100);
  EXPECT_FALSE(list.room_for(identity("p", "x", 1'000), 150).ok());
  EXPECT_TRUE(list.room_for(identity("p", "x", 1'000), 151).ok());
  EXPECT_EQ(list.size(), RevocationList::kMostOfProject - 10);
  EXPECT_FALSE(list.is_revoked(grant("p", "3")));
  EXPECT_TRUE(list.is_revoked(grant("p", "10")));
}

}  // namespace
}  // namespace raymesh::realtime
