#include "libs/crypto/secret_arena.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <type_traits>
#include <vector>

#include "libs/crypto/secret_array.hpp"

namespace raymesh::crypto {
namespace {

static_assert(!std::is_copy_constructible_v<Secret32> && !std::is_move_constructible_v<Secret32>);
static_assert(!std::is_copy_constructible_v<Locked<Secret32>> &&
              std::is_nothrow_move_constructible_v<Locked<Secret32>>);

bool is_zero(const void* data, size_t size) {
  const auto* bytes = static_cast<const char*>(data);
  return std::all_of(bytes, bytes + size, [](char c) { return c == 0; });
}

TEST(SecretArenaTest, GivesZeroedAlignedSlotsThatDoNotOverlap) {
  SecretArena arena;
  std::set<uintptr_t> seen;
  std::vector<void*> slots;
  for (int i = 0; i < 3'000; ++i) {
    void* slot = arena.take(150);
    const auto address = reinterpret_cast<uintptr_t>(slot);
    EXPECT_EQ(address % SecretArena::kSlotUnit, 0u);
    EXPECT_TRUE(is_zero(slot, 192));
    for (uintptr_t unit = address; unit < address + 192; unit += SecretArena::kSlotUnit)
      EXPECT_TRUE(seen.insert(unit).second);
    memset(slot, 0xaa, 150);
    slots.push_back(slot);
  }
  EXPECT_EQ(arena.usage().in_use, 3'000u * 192);
  for (void* slot : slots) arena.give_back(slot, 150);
  EXPECT_EQ(arena.usage().in_use, 0u);
}

TEST(SecretArenaTest, WipesWhatComesBackAndUsesItAgain) {
  SecretArena arena;
  void* slot = arena.take(64);
  memset(slot, 0xaa, 64);
  arena.give_back(slot, 64);
  EXPECT_TRUE(is_zero(slot, 64));
  EXPECT_EQ(arena.take(33), slot);
  arena.give_back(slot, 33);
}

TEST(SecretArenaTest, TenThousandSessionsStayBelowDebiansLockLimit) {
  SecretArena arena;
  std::vector<void*> slots;
  for (int i = 0; i < 10'000; ++i) slots.push_back(arena.take(192));
  const auto usage = arena.usage();
  EXPECT_LE(usage.locked + usage.unlocked, 2u * 1024 * 1024);
  for (void* slot : slots) arena.give_back(slot, 192);
  EXPECT_EQ(arena.usage().locked + arena.usage().unlocked, usage.locked + usage.unlocked);
}

TEST(SecretArenaTest, ForkedChildSeesNoSecret) {
  SecretArena arena;
  auto* slot = static_cast<char*>(arena.take(64));
  slot[0] = 's';
  const pid_t child = fork();
  if (child == 0) _exit(slot[0] == 0 ? 0 : 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(slot[0], 's');
  arena.give_back(slot, 64);
}

#ifndef __SANITIZE_ADDRESS__  // which makes mlock a function that does nothing and succeeds
// Changes a limit of the process, so in a process of its own. Root is not bound by the limit unless
// it gives up the capability, which changing the user does.
TEST(SecretArenaTest, GoesOnWithoutLockingWhenTheLimitIsReached) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit none{0, 0};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (getuid() == 0 && setuid(65'534) != 0)) _exit(2);
    SecretArena arena;
    void* slot = arena.take(64);
    const auto usage = arena.usage();
    arena.give_back(slot, 64);
    _exit(usage.locked == 0 && usage.unlocked == SecretArena::kChunkBytes ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

#endif

TEST(SecretArenaDeathTest, GuardPagesStandOnBothSides) {
  SecretArena arena;
  auto* first = static_cast<volatile char*>(arena.take(1'024));
  EXPECT_DEATH(first[-1] = 1, "");
  EXPECT_DEATH(first[SecretArena::kChunkBytes] = 1, "");
  arena.give_back(const_cast<char*>(first), 1'024);
}

TEST(LockedTest, WipesOnResetAndAfterAMove) {
  auto first = Locked<Secret32>::make();
  first->assign(std::string(32, 's'));
  const Secret32* where = &*first;
  Locked<Secret32> second = std::move(first);
  EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): what a moved-from one is
  EXPECT_EQ(&*second, where);
  EXPECT_EQ(second->view(), std::string(32, 's'));
  second.reset();
  EXPECT_FALSE(second);
  EXPECT_TRUE(is_zero(where, 32));
}

}  // namespace
}  // namespace raymesh::crypto
