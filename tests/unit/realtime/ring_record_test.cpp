#include "services/realtime/ring_record.hpp"

#include <gtest/gtest.h>

namespace raymesh::realtime {
namespace {

TEST(RingRecordTest, IsReadAsItWasWritten) {
  RingRecord record = first_ring({"redis://user:secret@a:1", "b:2"});
  record = next_ring(record, {"a:1", "b:2", "unix:/run/c.sock"}, {}).value();
  record = next_ring(record, {"b:2", "unix:/run/c.sock"}, {"a:1"}).value();
  EXPECT_EQ(encode(record), "2\nb:2 unix:/run/c.sock\n-a:1 b:2 unix:/run/c.sock\na:1 b:2");
  EXPECT_EQ(decode_ring(encode(record)), record);
}

TEST(RingRecordTest, RefusesWhatIsNone) {
  for (const char* text : {"", "1", "x\na:1", "1\n", "1\na:1 \nb:1", "1\na:1 a:1\nb:1", "1\na",
                           "0\na:1\nb:1", "1\nredis://a:1\nb:1", "-1\na:1"})
    EXPECT_FALSE(decode_ring(text)) << text;
}

TEST(RingRecordTest, RefusesAListThatMakesNoSense) {
  const RingRecord first = first_ring({"a:1", "b:1"});
  EXPECT_FALSE(next_ring(first, {}, {}).ok());
  EXPECT_FALSE(next_ring(first, {"c"}, {}).ok());
  EXPECT_FALSE(next_ring(first, {"c:1", "redis://c:1"}, {}).ok());
  EXPECT_FALSE(next_ring(first, {"redis://c:1/3"}, {}).ok()) << "a database of its own";
  EXPECT_FALSE(next_ring(first, {"c:1"}, {"d:1"}).ok()) << "was never there";
  EXPECT_FALSE(next_ring(first, {"a:1"}, {"a:1"}).ok()) << "lost, and yet to be used";
}

TEST(RingRecordTest, RemembersSoManyLists) {
  RingRecord record = first_ring({"a:1"});
  for (int i = 0; i < 40; ++i) record = next_ring(record, {i % 2 ? "a:1" : "b:1"}, {}).value();
  EXPECT_EQ(record.version, 40u);
  EXPECT_EQ(record.lists.size(), kRingsKept);
  EXPECT_TRUE(decode_ring(encode(record)));
}

TEST(RingRecordTest, KnowsSinceWhenAChannelIsWhereItIs) {
  const RingRecord none = first_ring({"a:1"});
  EXPECT_EQ(RingView(none).home("p/x"), 0u);
  const RingRecord grown = next_ring(none, {"a:1", "b:1"}, {}).value();
  const RingRecord back = next_ring(grown, {"a:1"}, {}).value();
  int stayed = 0;
  for (int i = 0; i < 100; ++i) {
    const std::string key = "p/" + std::to_string(i);
    const bool stays = RingView(grown).urls()[RingView(grown).pick(key)] == "a:1";
    EXPECT_EQ(RingView(grown).home(key), stays ? 0u : 1u);
    EXPECT_EQ(RingView(back).home(key), stays ? 0u : 2u) << "what it kept meanwhile is not whole";
    stayed += stays;
  }
  EXPECT_NEAR(stayed, 50, 20);
}

}  // namespace
}  // namespace raymesh::realtime
