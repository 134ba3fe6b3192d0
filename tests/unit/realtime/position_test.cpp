#include "services/realtime/position.hpp"

#include <gtest/gtest.h>

namespace raymesh::realtime {
namespace {

TEST(PositionTest, AnEpochIsSixteenHexDigits) {
  EXPECT_EQ(epoch_text(0xdef), "0000000000000def");
  EXPECT_EQ(epoch_text(0), "0000000000000000");
  EXPECT_EQ(epoch_text(0x0123456789abcdef), "0123456789abcdef");
  EXPECT_EQ(epoch_text(UINT64_MAX), "ffffffffffffffff");
  for (const uint64_t epoch : {uint64_t{1}, uint64_t{0xdef}, UINT64_MAX, new_epoch()})
    EXPECT_EQ(parse_epoch(epoch_text(epoch)), epoch);
}

TEST(PositionTest, OtherTextsAreNoEpoch) {
  for (const char* text :
       {"", "def", "0000000000000000", "000000000000000g", "00000000000000def", "-00000000000000f"})
    EXPECT_FALSE(parse_epoch(text)) << text;
}

}  // namespace
}  // namespace raymesh::realtime
