#include "libs/net/websocket/message_assembler.hpp"

#include <gtest/gtest.h>

namespace raymesh::net::websocket {
namespace {

using Status = MessageAssembler::Status;
constexpr size_t kMax = 100;

struct Step {
  Status status;
  uint16_t error = 0;
  bool is_text = false;
  std::string payload;
};

class MessageAssemblerTest : public ::testing::Test {
 protected:
  Step add(Opcode opcode, bool fin, std::string payload, size_t max = kMax) {
    storage_ = std::move(payload);
    MessageAssembler::Message message;
    Step step;
    step.status =
        assembler_.add({opcode, fin, std::span<char>(storage_)}, max, message, step.error);
    step.is_text = message.is_text;
    step.payload.assign(message.payload.data(), message.payload.size());
    return step;
  }

  MessageAssembler assembler_;
  std::string storage_;
};

TEST_F(MessageAssemblerTest, PassesAWholeMessageThroughWithoutCopying) {
  const auto step = add(Opcode::kText, true, "Hello");
  EXPECT_EQ(step.status, Status::kMessage);
  EXPECT_TRUE(step.is_text);
  EXPECT_EQ(step.payload, "Hello");
  EXPECT_EQ(assembler_.buffered(), 0u);
}

// RFC 6455 section 5.7: "Hel" and "lo".
TEST_F(MessageAssemblerTest, JoinsTheFragmentsOfTheRfc) {
  EXPECT_EQ(add(Opcode::kText, false, "Hel").status, Status::kIncomplete);
  EXPECT_TRUE(assembler_.in_message());
  const auto step = add(Opcode::kContinuation, true, "lo");
  EXPECT_EQ(step.status, Status::kMessage);
  EXPECT_EQ(step.payload, "Hello");
  EXPECT_FALSE(assembler_.in_message());
  assembler_.release();
  EXPECT_EQ(assembler_.buffered(), 0u);
  EXPECT_EQ(add(Opcode::kBinary, true, "next").payload, "next");
}

TEST_F(MessageAssemblerTest, JoinsEmptyFragments) {
  EXPECT_EQ(add(Opcode::kBinary, false, "").status, Status::kIncomplete);
  EXPECT_EQ(add(Opcode::kContinuation, false, "").status, Status::kIncomplete);
  const auto step = add(Opcode::kContinuation, true, "");
  EXPECT_EQ(step.status, Status::kMessage);
  EXPECT_FALSE(step.is_text);
  EXPECT_EQ(step.payload, "");
}

TEST_F(MessageAssemblerTest, RefusesAContinuationWithoutAStart) {
  const auto step = add(Opcode::kContinuation, true, "x");
  EXPECT_EQ(step.status, Status::kError);
  EXPECT_EQ(step.error, 1002);
}

TEST_F(MessageAssemblerTest, RefusesAContinuationAfterAFinishedMessage) {
  EXPECT_EQ(add(Opcode::kText, false, "a").status, Status::kIncomplete);
  EXPECT_EQ(add(Opcode::kContinuation, true, "b").status, Status::kMessage);
  EXPECT_EQ(add(Opcode::kContinuation, true, "c").error, 1002);
}

TEST_F(MessageAssemblerTest, RefusesANewMessageInsideAFragmentedOne) {
  EXPECT_EQ(add(Opcode::kText, false, "a").status, Status::kIncomplete);
  const auto step = add(Opcode::kText, true, "b");
  EXPECT_EQ(step.status, Status::kError);
  EXPECT_EQ(step.error, 1002);
}

TEST_F(MessageAssemblerTest, BoundsTheMessageNotOnlyTheFrame) {
  EXPECT_EQ(add(Opcode::kBinary, false, std::string(60, 'x')).status, Status::kIncomplete);
  EXPECT_EQ(add(Opcode::kContinuation, false, std::string(40, 'x')).status, Status::kIncomplete);
  const auto step = add(Opcode::kContinuation, true, "x");
  EXPECT_EQ(step.status, Status::kError);
  EXPECT_EQ(step.error, 1009);
}

TEST_F(MessageAssemblerTest, ChecksTextForUtf8) {
  EXPECT_EQ(add(Opcode::kText, true, "\xc3\x28").error, 1007);
  EXPECT_EQ(add(Opcode::kText, true, "\xed\xa0\x80").error, 1007);
  EXPECT_EQ(add(Opcode::kBinary, true, "\xc3\x28").status, Status::kMessage);
}

TEST_F(MessageAssemblerTest, AcceptsACharacterCutByFragments) {
  EXPECT_EQ(add(Opcode::kText, false, "a\xf0\x9f").status, Status::kIncomplete);
  EXPECT_EQ(add(Opcode::kContinuation, false, "\x98").status, Status::kIncomplete);
  EXPECT_EQ(add(Opcode::kContinuation, true, "\x80z").payload, "a\xf0\x9f\x98\x80z");
}

TEST_F(MessageAssemblerTest, RefusesBadUtf8InTheFragmentThatHoldsIt) {
  EXPECT_EQ(add(Opcode::kText, false, "\xf4").status, Status::kIncomplete);
  EXPECT_EQ(add(Opcode::kContinuation, false, "\x90").error, 1007);
}

TEST_F(MessageAssemblerTest, RefusesTextThatEndsInsideACharacter) {
  EXPECT_EQ(add(Opcode::kText, false, "a").status, Status::kIncomplete);
  EXPECT_EQ(add(Opcode::kContinuation, true, "\xe2\x82").error, 1007);
}

}  // namespace
}  // namespace raymesh::net::websocket
