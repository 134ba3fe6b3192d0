#include "libs/net/websocket/message_deflater.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "libs/net/websocket/message_inflater.hpp"

namespace raymesh::net::websocket {
namespace {

constexpr size_t kMax = 16u << 20;

/// What a client would make of the frame.
std::string opened(std::string_view frame, size_t max = kMax) {
  const size_t whole = server_frame_bytes(frame.data());
  EXPECT_EQ(whole, frame.size());
  size_t header = 2;
  if ((frame[1] & 0x7f) == 126) header = 4;
  if ((frame[1] & 0x7f) == 127) header = 10;
  std::string body(frame.substr(header));
  EXPECT_EQ(header, server_header_bytes(body.size()));
  MessageAssembler::Message message{.is_compressed = true, .payload = std::span<char>(body)};
  MessageInflater inflater;
  EXPECT_EQ(inflater.open(message, max), 0);
  return {message.payload.data(), message.payload.size()};
}

std::string json_of(size_t size) {
  std::string out = R"({"type":"message","channel":"room","payload":")";
  for (size_t i = 0; out.size() + 2 < size; ++i) out += static_cast<char>('a' + i * i % 23);
  out.resize(size - 2);
  return out + "\"}";
}

std::string noise_of(size_t size) {
  std::mt19937 random(1);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

TEST(MessageDeflaterTest, WritesOneFinalFrameWithRsv1) {
  MessageDeflater deflater;
  const std::string text = json_of(1'000);
  const auto frame = deflater.frame(Opcode::kText, text);
  ASSERT_FALSE(frame.empty());
  EXPECT_EQ(static_cast<unsigned char>(frame[0]), 0xc1);
  EXPECT_LT(frame.size(), text.size() / 2);
  EXPECT_EQ(opened(frame), text);
  const auto binary = deflater.frame(Opcode::kBinary, text);
  EXPECT_EQ(static_cast<unsigned char>(binary[0]), 0xc2);
}

// What section 7.2.1 takes off is the empty block's lengths; its header of three bits stays.
TEST(MessageDeflaterTest, TakesOffTheTailOfTheFlush) {
  MessageDeflater deflater;
  const auto frame = deflater.frame(Opcode::kText, std::string(1'000, 'x'));
  ASSERT_GT(frame.size(), 6u);
  EXPECT_EQ(frame.back(), '\0');
  EXPECT_NE(frame.substr(frame.size() - 4), std::string_view("\x00\x00\xff\xff", 4));
}

TEST(MessageDeflaterTest, WhatItWritesOpensAgainAtEverySizeAndLevel) {
  for (const int level : {1, 6, 9}) {
    MessageDeflater deflater({.level = level, .min_bytes = 0});
    for (const size_t size : {64u, 125u, 126u, 127u, 255u, 256u, 257u, 1'000u, 16'384u, 65'535u,
                              65'536u, 70'000u, 1'000'000u}) {
      const std::string text = json_of(size);
      const auto frame = deflater.frame(Opcode::kText, text);
      if (frame.empty()) continue;  // the smallest do not shrink
      EXPECT_LT(frame.size(), size + server_header_bytes(size));
      ASSERT_EQ(opened(frame), text) << size << " at level " << level;
    }
    const std::string text(1'000'000, 'x');
    ASSERT_EQ(opened(deflater.frame(Opcode::kText, text)), text);
  }
}

// Which lengths of the header the compressed payload takes, on both sides of each boundary.
TEST(MessageDeflaterTest, PutsHeadersOfEveryLengthBeforeThePayload) {
  MessageDeflater deflater;
  size_t seen[11] = {};
  for (const size_t noise : {60u, 100u, 105u, 110u, 115u, 120u, 125u, 130u, 65'400u, 65'500u,
                             65'510u, 65'520u, 65'530u, 65'540u, 70'000u}) {
    const std::string text = noise_of(noise) + std::string(400, ' ');
    const auto frame = deflater.frame(Opcode::kBinary, text);
    ASSERT_FALSE(frame.empty()) << noise;
    const auto length = static_cast<unsigned char>(frame[1]);
    ++seen[length < 126 ? 2 : length == 126 ? 4 : 10];
    ASSERT_EQ(opened(frame), text) << noise;
  }
  EXPECT_GT(seen[2], 0u);
  EXPECT_GT(seen[4], 0u);
  EXPECT_GT(seen[10], 0u);
}

TEST(MessageDeflaterTest, LeavesShortMessagesAsTheyAre) {
  MessageDeflater deflater({.level = 1, .min_bytes = 256});
  EXPECT_TRUE(deflater.frame(Opcode::kText, std::string(255, 'x')).empty());
  EXPECT_FALSE(deflater.frame(Opcode::kText, std::string(256, 'x')).empty());
  MessageDeflater all({.level = 1, .min_bytes = 0});
  EXPECT_TRUE(all.frame(Opcode::kText, "").empty());
  EXPECT_TRUE(all.frame(Opcode::kText, "x").empty());
  EXPECT_TRUE(all.frame(Opcode::kText, "Hello").empty());
}

TEST(MessageDeflaterTest, LeavesWhatDoesNotShrinkAsItIs) {
  MessageDeflater deflater;
  for (const size_t size : {256u, 5'000u, 65'536u, 1'000'000u}) {
    EXPECT_TRUE(deflater.frame(Opcode::kBinary, noise_of(size)).empty()) << size;
    // And the next message is none the worse for it.
    const std::string text = json_of(2'000);
    EXPECT_EQ(opened(deflater.frame(Opcode::kText, text)), text);
  }
}

TEST(MessageDeflaterTest, RecodesARunOfFramesWhereThatMakesThemSmaller) {
  MessageDeflater deflater;
  const std::vector<std::pair<Opcode, std::string>> messages = {
      {Opcode::kText, json_of(300)},     {Opcode::kText, "short"},
      {Opcode::kPing, "ping"},           {Opcode::kBinary, noise_of(1'000)},
      {Opcode::kText, json_of(100'000)}, {Opcode::kText, ""},
      {Opcode::kBinary, json_of(700)},
  };
  std::string plain;
  for (const auto& [opcode, payload] : messages) append_server_frame(plain, opcode, payload);
  std::vector<char> out(plain.size());
  const size_t size = deflater.recode(plain, out.data());
  EXPECT_LT(size, plain.size() / 10);
  std::string_view rest(out.data(), size);
  for (const auto& [opcode, payload] : messages) {
    ASSERT_FALSE(rest.empty());
    const std::string_view frame = rest.substr(0, server_frame_bytes(rest.data()));
    rest.remove_prefix(frame.size());
    EXPECT_EQ(static_cast<Opcode>(frame[0] & 0x0f), opcode);
    if ((frame[0] & 0x40) != 0) {
      EXPECT_EQ(opened(frame), payload);
    } else {
      std::string same;
      append_server_frame(same, opcode, payload);
      EXPECT_EQ(frame, same);
    }
  }
  EXPECT_TRUE(rest.empty());
}

TEST(MessageDeflaterTest, RecodingTellsWhenNothingBecameSmaller) {
  MessageDeflater deflater;
  std::string plain;
  append_server_frame(plain, Opcode::kText, "short");
  append_server_frame(plain, Opcode::kBinary, noise_of(70'000));
  std::vector<char> out(plain.size());
  EXPECT_EQ(deflater.recode(plain, out.data()), plain.size());
  EXPECT_EQ(std::string(out.begin(), out.end()), plain);
  EXPECT_EQ(deflater.recode("", out.data()), 0u);
}

TEST(MessageDeflaterTest, AMessageDoesNotDependOnTheOneBefore) {
  MessageDeflater used;
  for (const size_t size : {300u, 20'000u, 700u}) (void)used.frame(Opcode::kText, json_of(size));
  MessageDeflater fresh;
  const std::string text = json_of(5'000);
  EXPECT_EQ(used.frame(Opcode::kText, text), fresh.frame(Opcode::kText, text));
}

}  // namespace
}  // namespace raymesh::net::websocket
