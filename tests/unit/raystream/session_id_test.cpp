#include "libs/raystream/session_id.hpp"

#include <gtest/gtest.h>

namespace raymesh::raystream {
namespace {

TEST(SessionIdTest, IsAUuidOfVersion7WithItsTimeInFront) {
  const std::string id = new_session_id(0x018f12345678);
  EXPECT_EQ(id.substr(0, 15), "018f1234-5678-7");
  EXPECT_TRUE(is_session_id(id)) << id;
  EXPECT_NE(id, new_session_id(0x018f12345678));
}

TEST(SessionIdTest, HasOneForm) {
  EXPECT_TRUE(is_session_id("018f0000-0000-7000-8000-000000000000"));
  for (const char* text :
       {"", "018f0000-0000-7000-8000-00000000000", "018f0000-0000-7000-8000-0000000000000",
        "018F0000-0000-7000-8000-000000000000", "018f0000-0000-4000-8000-000000000000",
        "018f0000-0000-7000-c000-000000000000", "018f0000_0000-7000-8000-000000000000",
        "018f0000-0000-7000-8000-00000000000g", "018f000000007000800000000000000000000"})
    EXPECT_FALSE(is_session_id(text)) << text;
}

}  // namespace
}  // namespace raymesh::raystream
