#include "services/gateway/relay_events.hpp"

#include <gtest/gtest.h>

#include "libs/raystream/protocol.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"

namespace raymesh::gateway {
namespace {

namespace v1 = raymesh::raystream::v1;

v1::Event parse(const EventBlock& block, size_t i) {
  v1::Event event;
  const std::string_view bytes = block.payload(i);
  EXPECT_TRUE(event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  // As the generated code writes it: nothing is left that others would have to guess.
  EXPECT_EQ(event.SerializeAsString(), bytes);
  EXPECT_EQ(event.kind(), v1::CHANNEL);
  return event;
}

TEST(RelayEventsTest, PositionsAreReadAsTheyWereWritten) {
  for (const uint64_t offset : {uint64_t{0}, uint64_t{1}, uint64_t{300}, ~uint64_t{0}})
    for (const std::string& epoch : {std::string("a"), std::string(32, 'F')}) {
      const ChannelPosition position{epoch, offset};
      EXPECT_EQ(parse_position(position_bytes(position)), position);
    }
  EXPECT_EQ(position_bytes({}), "");
}

TEST(RelayEventsTest, PositionsOfOneEpochAreInTheOrderOfTheirBytes) {
  uint64_t before = 0;
  for (const uint64_t offset : {1u, 2u, 127u, 128u, 255u, 256u, 70'000u}) {
    EXPECT_LT(position_bytes({"e", before}), position_bytes({"e", offset}));
    before = offset;
  }
}

TEST(RelayEventsTest, WhatIsNoPositionIsNone) {
  const std::string eight(8, '\1');
  for (const std::string& bytes :
       {std::string(), eight.substr(1), eight, eight + "-", eight + std::string(1, '\0'),
        eight + std::string(33, 'a'), eight + "\xff"})
    EXPECT_FALSE(parse_position(bytes)) << bytes.size();
}

TEST(RelayEventsTest, EachEventIsAMessageOfTheProtocol) {
  EventBlock block;
  const ChannelPosition at{"0123456789abcdef", 7};
  block.add_message("room/ä", at, R"({"n":1})");
  block.add_member("room/ä", at, true, R"({"identity":"ada","id":"m\u0031"})");
  block.add_member("room/ä", at, false, R"({"id":"m2"})");
  block.add_reset("room/ä", at);
  block.add_presence_reset("room/ä", at);
  block.add_end("room/ä", at);
  ASSERT_EQ(block.count(), 6u);
  const v1::Event::Type types[] = {v1::Event::MESSAGE, v1::Event::JOIN,  v1::Event::LEAVE,
                                   v1::Event::RESET,   v1::Event::RESET, v1::Event::END};
  const bool watchers[] = {false, true, true, false, true, false};
  for (size_t i = 0; i < block.count(); ++i) {
    const v1::Event event = parse(block, i);
    EXPECT_EQ(event.type(), types[i]);
    EXPECT_EQ(event.name(), "room/ä");
    EXPECT_EQ(event.position(), position_bytes(at));
    EXPECT_EQ(block.is_for_watchers(i), watchers[i]);
  }
  EXPECT_EQ(parse(block, 0).data(), R"({"n":1})");
  EXPECT_EQ(parse(block, 1).id(), "m1");
  EXPECT_EQ(parse(block, 1).data(), R"({"identity":"ada","id":"m\u0031"})");
  EXPECT_EQ(parse(block, 2).id(), "m2");
  EXPECT_EQ(parse(block, 3).id(), "");
  EXPECT_EQ(parse(block, 4).id(), "presence");
  EXPECT_EQ(block.position(), position_bytes(at));
}

TEST(RelayEventsTest, EventsBehindOneAnotherAreOneWithMore) {
  EventBlock block;
  for (uint64_t i = 1; i <= 5; ++i)
    block.add_message("room", {"e", i}, std::string(100 * i, static_cast<char>('0' + i)));
  for (size_t first = 0; first < block.count(); ++first)
    for (size_t end = first + 1; end <= block.count(); ++end) {
      const std::string_view bytes = block.payload(first, end);
      v1::Event event;
      ASSERT_TRUE(event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
      EXPECT_EQ(event.SerializeAsString(), bytes);
      ASSERT_EQ(event.more_size(), static_cast<int>(end - first - 1));
      EXPECT_EQ(event.data(), parse(block, first).data());
      for (int i = 0; i < event.more_size(); ++i)
        EXPECT_EQ(event.more(i).SerializeAsString(),
                  block.payload(first + 1 + static_cast<size_t>(i)));
    }
}

TEST(RelayEventsTest, WhatANodeShouldNotSendHasNoId) {
  EventBlock block;
  for (const char* member : {"", "{", "[]", "{}", R"({"id":7})", "{\"id\":\"a\"} x"})
    block.add_member("c", {"e", 1}, true, member);
  for (size_t i = 0; i < block.count(); ++i) EXPECT_EQ(parse(block, i).id(), "");
}

TEST(RelayEventsTest, AMessageAboveAFrameIsAReset) {
  EventBlock block;
  const std::string fits(raymesh::raystream::kMaxPayload - 1'024, '1');
  block.add_message("c", {"e", 1}, fits);
  block.add_message("c", {"e", 2}, std::string(raymesh::raystream::kMaxPayload, '1'));
  EXPECT_LE(block.payload(0).size(), raymesh::raystream::kMaxPayload);
  EXPECT_EQ(parse(block, 0).data(), fits);
  EXPECT_EQ(parse(block, 1).type(), v1::Event::RESET);
  EXPECT_EQ(block.position(), position_bytes({"e", 2}));
}

}  // namespace
}  // namespace raymesh::gateway
