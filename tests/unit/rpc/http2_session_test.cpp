// HTTP/2 without a socket: a client and a server session whose bytes the test carries.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libs/rpc/byte_queue.hpp"
#include "tests/unit/rpc/http2_client.hpp"

namespace raymesh::rpc::test {
namespace {

class ServerSession final : public Http2Session {
 public:
  explicit ServerSession(const Http2Limits& limits = {}) : Http2Session(Side::kServer, limits) {}

  /// In the order of their requests.
  std::vector<std::shared_ptr<Recorder>> handlers;
  std::vector<StreamId> ids;
  bool refuse = false;

 protected:
  std::shared_ptr<StreamHandler> on_request_head(StreamId stream, const Headers&,
                                                 size_t&) override {
    ids.push_back(stream);
    if (refuse) {
      send_failure(stream, Error(errors::kUnauthenticated, "nobody"));
      return nullptr;
    }
    handlers.push_back(std::make_shared<Recorder>());
    return handlers.back();
  }
};

class ClientSession final : public Http2Session {
 public:
  ClientSession() : Http2Session(Side::kClient, {}) {}
  std::shared_ptr<Recorder> start() {
    auto recorder = std::make_shared<Recorder>();
    id = open(http2::request("/x"), recorder);
    return recorder;
  }
  StreamId id = 0;

 protected:
  std::shared_ptr<StreamHandler> on_request_head(StreamId, const Headers&, size_t&) override {
    return nullptr;
  }
};

class Http2SessionTest : public testing::Test {
 protected:
  // Until neither has anything to say.
  void exchange() {
    for (bool moved = true; moved;) {
      moved = carry(client_, server_);
      moved |= carry(server_, client_);
    }
  }
  static bool carry(Http2Session& from, Http2Session& to) {
    std::string bytes;
    from.take_output(bytes, 1 << 20);
    EXPECT_TRUE(to.receive(bytes));
    return !bytes.empty();
  }

  ClientSession client_;
  ServerSession server_;
};

TEST(ByteQueueTest, ForgetsWhatWasTakenEvenWhenItIsNeverEmpty) {
  ByteQueue queue;
  queue.tail().append(1, 'x');
  for (int i = 0; i < 10'000; ++i) {
    queue.tail().append(40'000, 'x');
    queue.take(40'000);
    ASSERT_EQ(queue.size(), 1u);
    ASSERT_LT(queue.held(), 200'000u);
  }
  EXPECT_LT(queue.capacity(), 1u << 20);
}

TEST(ByteQueueTest, KeepsTheOrderAndGivesLargeMemoryBack) {
  ByteQueue queue;
  std::string all, taken;
  for (int i = 0; i < 500; ++i) {
    const std::string piece(static_cast<size_t>(i * 7), static_cast<char>('a' + i % 26));
    all += piece;
    queue.tail() += piece;
    const size_t n = queue.size() * 2 / 3;
    taken += queue.view().substr(0, n);
    queue.take(n);
  }
  taken += queue.view();
  queue.take(queue.size());
  EXPECT_EQ(taken, all);
  queue.tail().append(10 << 20, 'x');
  queue.take(10 << 20);
  EXPECT_LE(queue.capacity(), 256u << 10);
}

TEST_F(Http2SessionTest, APausedStreamWaitsAndTheOthersGoOn) {
  client_.start();
  const auto first = client_.id;
  client_.start();
  const auto second = client_.id;
  exchange();
  ASSERT_EQ(server_.handlers.size(), 2u);
  server_.pause(server_.ids[0]);
  // More than a stream's window.
  for (char c = 'a'; c < 'k'; ++c) client_.send_message(first, std::string(1 << 20, c));
  client_.send_end(first, {});
  client_.send_message(second, "other");
  exchange();
  EXPECT_TRUE(server_.handlers[0]->messages.empty());
  EXPECT_GT(client_.unsent(first), 5u << 20);
  EXPECT_THAT(server_.handlers[1]->messages, testing::ElementsAre("other"));

  server_.resume(server_.ids[0]);
  exchange();
  ASSERT_EQ(server_.handlers[0]->messages.size(), 10u);
  for (size_t i = 0; i < 10; ++i)
    EXPECT_EQ(server_.handlers[0]->messages[i], std::string(1 << 20, static_cast<char>('a' + i)));
  EXPECT_TRUE(server_.handlers[0]->ended);
  EXPECT_EQ(client_.unsent(first), 0u);
}

TEST_F(Http2SessionTest, TheEndOfAPausedStreamComesAfterItsMessages) {
  client_.start();
  exchange();
  server_.pause(server_.ids[0]);
  client_.send_message(client_.id, "last");
  client_.send_end(client_.id, {});
  exchange();
  EXPECT_FALSE(server_.handlers[0]->ended);
  server_.resume(server_.ids[0]);
  EXPECT_THAT(server_.handlers[0]->messages, testing::ElementsAre("last"));
  EXPECT_TRUE(server_.handlers[0]->ended);
}

TEST_F(Http2SessionTest, AStreamThatWasAnsweredIsClosedWithoutTheClientsEnd) {
  const auto failed = client_.start();
  const auto finished = client_.start();
  exchange();
  server_.send_failure(server_.ids[0], Error(errors::kInvalidRequest, "no"));
  server_.send_headers(server_.ids[1], grpc_wire::answer_headers());
  server_.send_message(server_.ids[1], "answer");
  server_.send_end(server_.ids[1], grpc_wire::ok_trailers());
  exchange();
  EXPECT_EQ(server_.open_streams(), 0u);
  EXPECT_TRUE(failed->closed);
  EXPECT_EQ(failed->reason, "");
  ASSERT_TRUE(finished->status.has_value());
  EXPECT_EQ(finished->status->code, 0);
  EXPECT_THAT(finished->messages, testing::ElementsAre("answer"));
}

TEST_F(Http2SessionTest, RefusedStreamsDoNotStay) {
  server_.refuse = true;
  for (int i = 0; i < 3'000; ++i) {
    const auto stream = client_.start();
    client_.send_message(client_.id, "x");
    exchange();
    ASSERT_TRUE(stream->closed);
    ASSERT_EQ(stream->status->code, static_cast<int>(StatusCode::kUnauthenticated));
  }
  EXPECT_EQ(server_.open_streams(), 0u);
  EXPECT_EQ(client_.open_streams(), 0u);
}

TEST_F(Http2SessionTest, CountsWhatItHoldsAndForgetsItWithTheStream) {
  Http2Limits limits;
  limits.max_held_bytes = 1'000;
  ServerSession small(limits);
  client_.start();
  carry(client_, small);
  EXPECT_TRUE(small.keep(small.ids[0], 600));
  EXPECT_FALSE(small.keep(small.ids[0], 600));
  small.let_go(small.ids[0]);
  EXPECT_TRUE(small.keep(small.ids[0], 900));
  // A message that is not complete counts too.
  client_.send_message(client_.id, std::string(500, 'x'));
  std::string bytes;
  client_.take_output(bytes, 1 << 20);
  ASSERT_TRUE(small.receive(std::string_view(bytes).substr(0, bytes.size() - 1)));
  EXPECT_THAT(small.handlers[0]->bad, testing::HasSubstr("holds too much"));
  small.send_failure(small.ids[0], Error(errors::kMessageTooLarge, "no"));
  std::string answer;
  small.take_output(answer, 1 << 20);
  EXPECT_EQ(small.open_streams(), 0u);
  ASSERT_TRUE(small.receive(std::string_view(bytes).substr(bytes.size() - 1)));
  client_.start();
  carry(client_, small);
  EXPECT_TRUE(small.keep(small.ids[1], 1'000));
}

TEST_F(Http2SessionTest, KnowsWhatWasNotSentYet) {
  client_.start();
  exchange();
  server_.send_headers(server_.ids[0], grpc_wire::answer_headers());
  server_.send_message(server_.ids[0], std::string(10 << 20, 'x'));
  EXPECT_EQ(server_.unsent_bytes(), (10u << 20) + grpc_wire::kPrefixBytes);
  std::string some;
  server_.take_output(some, 1 << 20);
  EXPECT_LT(server_.unsent_bytes(), 10u << 20);
  EXPECT_EQ(server_.unsent_bytes(), server_.unsent(server_.ids[0]));
}

// 1,024 streams may be open; each one above it is refused with a frame that waits to be sent.
TEST(Http2FloodTest, AClientThatAsksForAnswersAndTakesNoneIsCutOff) {
  ServerSession server;
  ASSERT_TRUE(server.receive(http2::start()));
  bool taken = true;
  uint32_t stream = 1;
  for (; taken && stream < 200'000; stream += 2)
    taken = server.receive(http2::headers(stream, http2::request("/x"), 0));
  EXPECT_FALSE(taken);
}

TEST(Http2FloodTest, PingsAndSettingsWithoutEnd) {
  for (const std::string& frame :
       {http2::frame(http2::kPing, 0, 0, "12345678"), http2::frame(http2::kSettings, 0, 0)}) {
    ServerSession server;
    ASSERT_TRUE(server.receive(http2::start()));
    bool taken = true;
    for (int i = 0; taken && i < 10'000; ++i) taken = server.receive(frame);
    EXPECT_FALSE(taken);
  }
}

// RFC 9113 section 6.10: frames of one header block have no bound of the protocol's own.
TEST(Http2FloodTest, AHeaderBlockWithoutEnd) {
  ServerSession server;
  ASSERT_TRUE(server.receive(http2::start()));
  ASSERT_TRUE(
      server.receive(http2::frame(http2::kHeaders, 0, 1, http2::block(http2::request("/x")))));
  constexpr uint8_t kContinuation = 9;
  const std::string more = http2::frame(kContinuation, 0, 1, http2::block({{"name", "value"}}));
  bool taken = true;
  for (int i = 0; taken && i < 100'000; ++i) {
    taken = server.receive(more);
    std::string answer;
    server.take_output(answer, 1 << 20);
    taken = taken && !server.finished();
  }
  EXPECT_FALSE(taken);
  EXPECT_TRUE(server.handlers.empty());
}

}  // namespace
}  // namespace raymesh::rpc::test
