#include "libs/base/protobuf_fields.hpp"

#include <gtest/gtest.h>

#include <string>

namespace raymesh {
namespace {

using namespace std::string_literals;

TEST(ProtobufFieldsTest, ReadsEachKindOfField) {
  // 1: 150; 2: "hi"; 3: fixed32; 4: fixed64.
  const std::string message =
      "\x08\x96\x01\x12\x02hi\x1d\x01\x02\x03\x04\x21\x01\x02\x03\x04\x05\x06\x07\x08"s;
  ProtobufFields fields(message);
  ASSERT_TRUE(fields.next());
  EXPECT_TRUE(fields.is_number(1));
  EXPECT_EQ(fields.value(), 150u);
  ASSERT_TRUE(fields.next());
  EXPECT_TRUE(fields.is_text(2));
  EXPECT_FALSE(fields.is_number(2));
  EXPECT_EQ(fields.text(), "hi");
  EXPECT_TRUE(fields.next());
  EXPECT_TRUE(fields.next());
  EXPECT_FALSE(fields.next());
  EXPECT_FALSE(fields.bad());
  EXPECT_EQ(count_protobuf_fields(message, 10), 4u);
}

TEST(ProtobufFieldsTest, WhatIsNoMessageIsBad) {
  for (const std::string& bytes :
       {"\x08"s, "\x12\x05hi"s, "\x1d\x01"s, "\x00\x01"s, "\x0b"s /* a group */, "\x0e\x00"s,
        std::string(11, '\xff'), "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s}) {
    EXPECT_EQ(count_protobuf_fields(bytes, 10), std::nullopt) << testing::PrintToString(bytes);
  }
  // What is behind a group is not let through uncounted.
  EXPECT_EQ(count_protobuf_fields("\x0b\x0c"s + std::string(1'000, '\x0a'), 10), std::nullopt);
}

TEST(ProtobufFieldsTest, CountsNoFurtherThanItIsAskedTo) {
  std::string message;
  for (int i = 0; i < 10'000; ++i) message += "\x0a\x00"s;
  EXPECT_EQ(count_protobuf_fields(message, 100), 101u);
  EXPECT_EQ(count_protobuf_fields(message.substr(0, 200), 100), 100u);
  EXPECT_EQ(count_protobuf_fields("", 100), 0u);
}

}  // namespace
}  // namespace raymesh
