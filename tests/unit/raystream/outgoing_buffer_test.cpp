#include "libs/raystream/outgoing_buffer.hpp"

#include <gtest/gtest.h>

#include <string>

namespace raymesh::raystream {
namespace {

TEST(OutgoingBufferTest, GivesOutWhatWasPutInWhateverIsTaken) {
  OutgoingBuffer buffer;
  std::string expected;
  std::string got;
  for (int i = 0; i < 5'000; ++i) {
    const std::string piece(i % 37, static_cast<char>('a' + i % 26));
    buffer.append(piece);
    expected += piece;
    const size_t taken = std::min<size_t>(i * 7 % 53, buffer.size());
    got += buffer.bytes().substr(0, taken);
    buffer.consumed(taken);
  }
  got += buffer.bytes();
  EXPECT_EQ(got, expected);
  EXPECT_LE(buffer.capacity(), 4 * expected.size());
}

TEST(OutgoingBufferTest, MovesUpInsteadOfGrowing) {
  OutgoingBuffer buffer;
  buffer.extend(1'024);
  const size_t capacity = buffer.capacity();
  for (int i = 0; i < 1'000; ++i) {
    buffer.consumed(600);
    buffer.extend(600);
  }
  EXPECT_EQ(buffer.size(), 1'024u);
  EXPECT_EQ(buffer.capacity(), capacity);
}

TEST(OutgoingBufferTest, GivesItsMemoryBackWhenToldAndEmpty) {
  OutgoingBuffer buffer;
  EXPECT_EQ(buffer.capacity(), 0u);
  buffer.extend(100'000);
  buffer.consumed(99'999);
  buffer.release();
  EXPECT_EQ(buffer.size(), 1u);
  buffer.consumed(1);
  EXPECT_GE(buffer.capacity(), 100'000u);
  buffer.release();
  EXPECT_EQ(buffer.capacity(), 0u);
  buffer.append("again");
  EXPECT_EQ(buffer.bytes(), "again");
}

}  // namespace
}  // namespace raymesh::raystream
