// The server's door against clients that speak HTTP/2 badly, slowly or without end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "libs/net/io_threads.hpp"
#include "libs/net/unique_fd.hpp"
#include "tests/unit/rpc/http2_client.hpp"
#include "tests/unit/rpc/raw_stream.hpp"

namespace raymesh::rpc::test {
namespace {

using common::v1::ClientBatch;
using common::v1::ServerBatch;
using raymesh::test::v1::EchoReply;
using raymesh::test::v1::EchoRequest;
using raymesh::test::v1::MakeRequest;

constexpr char kCheck[] = "/grpc.health.v1.Health/Check";
constexpr char kWatch[] = "/grpc.health.v1.Health/Watch";
constexpr char kReflect[] = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

common::v1::ClientFrame make_frame(uint64_t id, uint64_t bytes) {
  MakeRequest request;
  request.set_bytes(bytes);
  auto frame = call_frame(id, "Make");
  frame.mutable_call()->set_payload(request.SerializeAsString());
  return frame;
}

size_t frames_in(const Recorder& stream) {
  size_t count = 0;
  for (const auto& message : stream.messages) {
    ServerBatch batch;
    EXPECT_TRUE(batch.ParseFromString(message));
    count += static_cast<size_t>(batch.frames_size());
  }
  return count;
}

// What it asks for at once is far more than its window, so the server stops taking its calls; it
// must not stop hearing that the window is open again.
TEST(DoorTest, ACallerThatStallsAndComesBackGetsEveryAnswer) {
  EchoServer server;
  Http2Client client(server.server->port());
  const auto stream = client.start("Calls");
  constexpr size_t kCalls = 1'000;
  uint64_t id = 0;
  ClientBatch batch;
  for (size_t i = 0; i < kCalls / 2; ++i) *batch.add_frames() = make_frame(++id, 30'000);
  client.send_message(client.last(), batch.SerializeAsString());
  client.send_message(client.last(), [&] {
    ClientBatch more;
    for (size_t i = 0; i < kCalls / 2; ++i) *more.add_frames() = make_frame(++id, 30'000);
    return more.SerializeAsString();
  }());
  client.send_end(client.last(), {});
  EXPECT_TRUE(client.run([&] { return stream->closed; })) << frames_in(*stream);
  EXPECT_EQ(frames_in(*stream), kCalls);
  ASSERT_TRUE(stream->status.has_value());
  EXPECT_EQ(stream->status->code, 0);
}

TEST(DoorTest, OneCallerThatTakesNoAnswersDoesNotHoldUpItsOtherStreams) {
  EchoServer server;
  http2::Connection connection(server.server->port());
  // A window of a byte for all streams that follow.
  connection.send(http2::frame(http2::kSettings, 0, 0, http2::number(4, 2) + http2::number(1, 4)));
  auto head = http2::request("/" + std::string(kEchoName) + "/Calls");
  head.push_back({kClusterKeyMetadata, kClusterKey});
  ClientBatch batch;
  for (uint64_t id = 1; id <= 500; ++id) *batch.add_frames() = make_frame(id, 30'000);
  const std::string asked = http2::message(batch.SerializeAsString());
  std::string bytes = http2::headers(1, head, 0);
  for (size_t at = 0; at < asked.size(); at += 16'384)
    bytes += http2::frame(http2::kData, 0, 1, std::string_view(asked).substr(at, 16'384));
  connection.send(bytes);
  connection.send(http2::headers(3, http2::request("/nowhere"), http2::kEndStream));
  EXPECT_TRUE(connection.end_of(3).answered);
  connection.send(
      http2::frame(http2::kSettings, 0, 0, http2::number(4, 2) + http2::number(65'535, 4)) +
      http2::frame(http2::kWindow, 0, 0, http2::number(1 << 20, 4)));
  EXPECT_TRUE(connection.alive(5));
}

TEST(DoorTest, WrongRequestsEndAlone) {
  EchoServer server;
  http2::Connection connection(server.server->port());
  const std::string echo = "/" + std::string(kEchoName) + "/Echo";
  auto known = [&](const std::string& path) {
    auto headers = http2::request(path);
    headers.push_back({kClusterKeyMetadata, kClusterKey});
    return headers;
  };
  auto without = [&](const std::string& name) {
    Headers headers = known(echo);
    std::erase_if(headers, [&](const Header& h) { return h.name == name; });
    return headers;
  };
  auto with = [&](const std::string& name, const std::string& value) {
    Headers headers = without(name);
    headers.insert(name.starts_with(":") ? headers.begin() : headers.end(), {name, value});
    return headers;
  };
  constexpr uint8_t kEnd = http2::kEndStream;
  uint32_t id = 1;
  auto answered = [&](const Headers& headers, const std::string& rest = {}) {
    connection.send(http2::headers(id, headers, rest.empty() ? kEnd : 0) + rest);
    EXPECT_TRUE(connection.end_of(id).answered);
    id += 2;
  };
  auto reset = [&](const Headers& headers, const std::string& rest = {}) {
    connection.send(http2::headers(id, headers, rest.empty() ? kEnd : 0) + rest);
    EXPECT_TRUE(connection.end_of(id).reset.has_value());
    id += 2;
  };
  auto data = [&](const std::string& bytes, uint8_t flags = http2::kEndStream) {
    return http2::frame(http2::kData, flags, id, bytes);
  };

  // No message, half of one, two, one that is compressed.
  answered(known(echo));
  answered(known(echo), data(""));
  answered(known(echo), data(http2::message("whole").substr(0, 3)));
  answered(known(echo), data(http2::message("whole").substr(0, 8)));
  answered(known(echo), data(http2::message("") + http2::message("")));
  answered(known(echo), data("\1" + http2::message("").substr(1)));
  answered(known(echo), data(std::string("\0\xff\xff\xff\xff", 5), 0));
  answered(http2::request(echo), data(http2::message(""), 0));
  answered(known("/" + std::string(kEchoName) + "/Calls"), data("\1" + http2::message("x"), 0));
  answered(known("/" + std::string(kEchoName) + "/Nothing"));
  answered(known("/"));
  answered(http2::request(kCheck));
  answered(http2::request(kWatch));
  answered(http2::request(kReflect));
  answered(http2::request(kCheck), data(http2::message("\xff\xff")));
  answered(http2::request(kCheck), data(http2::message(std::string(10'000, 'x')), 0));
  answered(with(":method", "GET"));
  answered(with(":method", "HEAD"));
  answered(with("content-type", "application/json"));
  answered(with("grpc-timeout", "soon"));
  answered(with("grpc-timeout", "0n"), data(http2::message(""), 0));

  // What is no HTTP/2 request.
  reset(without(":method"));
  reset(without(":path"));
  reset(without(":scheme"));
  reset(with("connection", "close"));
  reset(with("Upper", "x"));
  reset(with(":unknown", "x"));
  reset(with("content-length", "1"), data(http2::message("longer")));
  // Headers after data that do not end the stream, and pseudo headers in trailers.
  reset(known(echo), data("", 0) + http2::headers(id, {{"late", "x"}}, 0));
  reset(known(echo), data("", 0) + http2::headers(id, {{":path", "/"}}, kEnd));
  // Data on a stream that was reset by the client.
  connection.send(http2::headers(id, known(echo), 0) +
                  http2::frame(http2::kReset, 0, id, http2::number(8, 4)) + data("late"));
  id += 2;
  EXPECT_TRUE(connection.alive(id));
}

TEST(DoorTest, BytesThatAreNoHttp2EndTheConnection) {
  EchoServer server;
  const std::string start = http2::start();
  const std::string head = http2::headers(1, http2::request(kCheck), 0);
  for (const std::string& bytes : {
           std::string("GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
           std::string("\x16\x03\x01\x02\x00\x01", 6),
           start + http2::frame(http2::kData, 0, 1, "no such stream"),
           start + http2::frame(http2::kData, 0, 0, "no stream"),
           start + http2::headers(2, http2::request(kCheck), 0),
           start + http2::frame(http2::kHeaders, 4, 1, "\xff\xff\xff\xff"),
           start + http2::frame(http2::kHeaders, 0, 1, "") +
               http2::frame(http2::kPing, 0, 0, "12345678"),
           start + http2::frame(http2::kPush, 4, 1, "1234"),
           start + http2::frame(http2::kPing, 0, 0, "short"),
           start + http2::frame(http2::kSettings, 0, 0, "odd"),
           start + http2::frame(http2::kWindow, 0, 0, std::string(4, '\0')),
           start + head + http2::frame(http2::kWindow, 0, 0, "\x7f\xff\xff\xff"),
           start + http2::frame(http2::kData, 0, 1, std::string(20'000, 'x')),
       }) {
    Socket socket(server.server->port());
    socket.send(bytes);
    std::optional<std::string> received;
    do {
      received = socket.receive();
    } while (received && !received->empty());
    EXPECT_TRUE(received.has_value() || errno == ECONNRESET) << bytes;
  }
  EXPECT_TRUE(http2::Connection(server.server->port()).alive(1));
}

// ---- Memory ----

TEST(DoorTest, ACallerThatTakesNoReflectionIsRefused) {
  EchoServer server;
  http2::Connection connection(server.server->port());
  connection.send(http2::frame(http2::kSettings, 0, 0, http2::number(4, 2) + http2::number(1, 4)));
  // file_containing_symbol = 4, of a file with many imports.
  std::string question;
  question += '\x22';
  question += static_cast<char>(sizeof kEchoName - 1);
  question += kEchoName;
  std::string bytes;
  constexpr uint32_t kStreams = 1'000;
  for (uint32_t i = 0; i < kStreams; ++i)
    bytes += http2::headers(2 * i + 1, http2::request(kReflect), 0) +
             http2::frame(http2::kData, 0, 2 * i + 1, http2::message(question));
  ASSERT_TRUE(connection.send(bytes));
  // The last ones find no room.
  EXPECT_TRUE(connection.end_of(2 * kStreams - 1).answered);
}

TEST(DoorTest, RequestsThatAreWholeButDoNotEndAreBounded) {
  EchoServer server;
  Http2Client client(server.server->port());
  std::vector<std::shared_ptr<Recorder>> calls;
  EchoRequest request;
  request.set_data(std::string((4 << 20) - 1'000, 'x'));
  for (int i = 0; i < 24; ++i) {
    calls.push_back(client.start("Echo"));
    client.send_message(client.last(), request.SerializeAsString());
  }
  // 64 MiB are taken; those above are refused, and the others still run.
  EXPECT_TRUE(client.run([&] {
    return std::any_of(calls.begin(), calls.end(), [](const auto& call) { return call->closed; });
  }));
  for (const auto& call : calls) {
    if (!call->closed) continue;
    ASSERT_TRUE(call->status.has_value()) << call->reason;
    EXPECT_EQ(call->status->code, static_cast<int>(StatusCode::kOutOfRange))
        << call->status->message;
  }
}

// ---- The end ----

// A socket that is closed with unread bytes is reset, and takes answers with it that are on their
// way.
TEST(DoorTest, AStopDoesNotResetTheConnectionUnderItsLastAnswers) {
  EchoServer server;
  http2::Connection connection(server.server->port());
  ASSERT_TRUE(connection.alive(1));
  std::thread stopper([&] { server.server->stop(std::chrono::seconds(20)); });
  while (connection.receive()) continue;
  EXPECT_FALSE(connection.was_reset());
  // The server has said all that it had to; we have not. A socket that is closed answers with a
  // reset.
  bool taken = true;
  for (int i = 0; i < 100 && taken; ++i)
    taken = connection.send(http2::frame(http2::kPing, 0, 0, "12345678"));
  EXPECT_TRUE(taken);
  EXPECT_FALSE(connection.receive().has_value());
  EXPECT_FALSE(connection.was_reset());
  connection.close();
  stopper.join();
}

TEST(DoorTest, AStopDoesNotWaitForStreamsOfStrangers) {
  EchoServer server;
  http2::Connection connection(server.server->port());
  uint32_t id = 1;
  for (const char* path : {kReflect, kCheck, kWatch, kReflect}) {
    connection.send(http2::headers(id, http2::request(path), 0));
    id += 2;
  }
  connection.send(http2::headers(id, http2::request("/nowhere"), 0));
  ASSERT_TRUE(connection.end_of(id).answered);
  const auto started = Clock::now();
  std::thread stopper([&] { server.server->stop(std::chrono::minutes(5)); });
  while (connection.receive()) continue;
  EXPECT_FALSE(connection.was_reset());
  connection.close();
  stopper.join();
  EXPECT_LT(Clock::now() - started, std::chrono::minutes(1));
}

TEST(DoorTest, ConnectionsThatComeDuringAStopAreClosed) {
  for (int round = 0; round < 100; ++round) {
    net::IoThreads threads(3, "door");
    auto config = EchoServer::config();
    config.address.clear();
    config.loops = threads.loops();
    auto server = std::make_unique<EchoServer>(config);
    std::atomic<bool> go{false};
    std::vector<net::UniqueFd> ends;
    std::thread caller([&] {
      while (!go) std::this_thread::yield();
      for (int fd; (fd = server->server->connect_in_process()) >= 0;) ends.emplace_back(fd);
    });
    go = true;
    std::this_thread::yield();
    server->server->stop(std::chrono::milliseconds(0));
    caller.join();
    server.reset();
    // Whatever is still queued runs here, without the server.
    threads.stop();
  }
}

TEST(DoorTest, AnswersMayComeWhileTheServerGoes) {
  for (int round = 0; round < 100; ++round) {
    auto server = std::make_unique<EchoServer>();
    const auto held = server->held;
    {
      Http2Client client(server->server->port());
      std::vector<std::shared_ptr<Recorder>> calls;
      for (int i = 0; i < 20; ++i) {
        calls.push_back(client.start("Hold"));
        client.send_message(client.last(), "");
        client.send_end(client.last(), {});
      }
      const auto stream = client.start("Calls");
      ClientBatch batch;
      for (uint64_t id = 1; id <= 20; ++id) *batch.add_frames() = call_frame(id, "Hold");
      client.send_message(client.last(), batch.SerializeAsString());
      ASSERT_TRUE(client.push());
      held->wait_for(40);
    }
    std::thread answers([&] { held->answer_all("late"); });
    server.reset();
    answers.join();
  }
}

}  // namespace
}  // namespace raymesh::rpc::test
