#include "services/realtime/backlog.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "libs/net/websocket/frame.hpp"

namespace raymesh::realtime {
namespace {

class BacklogTest : public ::testing::Test {
 protected:
  Span span_of(const std::string& bytes) {
    Span span{Segment::create(bytes.size(), memory_), 0, static_cast<uint32_t>(bytes.size())};
    std::memcpy(span.segment->data(), bytes.data(), bytes.size());
    return span;
  }
  std::string frames(std::initializer_list<std::string> payloads) {
    std::string out;
    for (const auto& p : payloads)
      net::websocket::append_server_frame(out, net::websocket::Opcode::kText, p);
    return out;
  }
  std::string content() {
    iovec pieces[16];
    std::string out;
    for (size_t n = backlog_.gather(pieces), i = 0; i < n; ++i)
      out.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
    return out;
  }

  SegmentMemory memory_;
  Backlog backlog_;
};

TEST_F(BacklogTest, GivesBackInOrderWhatWasPushed) {
  backlog_.push(span_of("hello"), 2);
  backlog_.push(span_of(" world"));
  EXPECT_EQ(backlog_.bytes(), 9u);
  EXPECT_EQ(content(), "llo world");
  backlog_.consume(4);
  EXPECT_EQ(content(), "world");
  backlog_.consume(5);
  EXPECT_TRUE(backlog_.empty());
  EXPECT_EQ(memory_.bytes(), 0u);
  backlog_.push(span_of("again"));
  EXPECT_EQ(content(), "again");
}

TEST_F(BacklogTest, JoinsSpansThatFollowOneAnother) {
  const Span whole = span_of("abcdef");
  Span first = whole;
  first.end = 3;
  Span second = whole;
  second.begin = 3;
  backlog_.push(first, 1);
  backlog_.push(second);
  iovec pieces[4];
  EXPECT_EQ(backlog_.gather(pieces), 1u);
  EXPECT_EQ(content(), "bcdef");
  EXPECT_EQ(backlog_.bytes(), 5u);
}

TEST_F(BacklogTest, ShowsNoMorePiecesThanThereIsRoomFor) {
  for (int i = 0; i < 5; ++i) backlog_.push(span_of("x"));
  iovec pieces[3];
  EXPECT_EQ(backlog_.gather(pieces), 3u);
  backlog_.consume(3);
  EXPECT_EQ(backlog_.gather(pieces), 2u);
}

TEST_F(BacklogTest, KeepsOnlyTheFramesThatHaveBegun) {
  const std::string text = frames({"first", "second", "third"});
  const std::string more = frames({"more", "and more"});
  for (size_t sent = 0; sent < text.size(); ++sent)
    for (size_t committed = 0; committed < text.size() + more.size() - sent; ++committed) {
      backlog_ = Backlog();
      backlog_.push(span_of(text), sent);
      backlog_.push(span_of(more));
      backlog_.keep_started(committed);
      EXPECT_EQ(backlog_.bytes(), content().size());
      EXPECT_GE(content().size(), committed);
      EXPECT_EQ(content(), (text + more).substr(sent, content().size()));
      // What is kept makes what was sent whole frames, and not one frame more.
      const std::string all = text.substr(0, sent) + content();
      size_t at = 0;
      size_t last = 0;
      while (at < all.size()) {
        last = at;
        at += net::websocket::server_frame_bytes(all.data() + at);
      }
      EXPECT_EQ(at, all.size()) << sent << " " << committed;
      EXPECT_TRUE(all.empty() || last < sent + committed) << sent << " " << committed;
    }
}

TEST_F(BacklogTest, TakesOverAnother) {
  Backlog other;
  other.push(span_of("b"));
  backlog_.push(span_of("a"));
  backlog_.take(other);
  EXPECT_EQ(content(), "ab");
  EXPECT_TRUE(other.empty());
}

}  // namespace
}  // namespace raymesh::realtime
