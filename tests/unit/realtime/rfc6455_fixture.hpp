// What the conformance tests of RFC 6455 share. A row of their tables is a conversation: what a
// client sends and what has to come of it. Each runs against a real node over real sockets, cut in
// several ways, because the outcome may not depend on how TCP delivers the bytes. The node has no
// echo: that a message was taken shows at a second socket, which receives what it published.
#pragma once

#include <algorithm>
#include <ostream>
#include <string>
#include <system_error>
#include <vector>

#include "node_fixture.hpp"
#include "tests/unit/net/websocket/client_frame.hpp"

namespace raymesh::realtime {

using Opcode = net::websocket::Opcode;
using net::websocket::client_frame;
using net::websocket::raw_client_frame;

struct Conversation {
  static constexpr int kStaysOpen = -100;

  std::string claim;                        // the test's name
  std::vector<std::string> sends;           // frames, as they go over the wire
  std::vector<std::string> delivered = {};  // payloads that the second socket receives, in order
  std::vector<std::string> pongs = {};      // what comes back before the end, in order
  int ends_with = kStaysOpen;               // or the code of the close frame; 0: an empty one
};

inline std::ostream& operator<<(std::ostream& out, const Conversation& c) {
  return out << c.claim;
}
inline std::string claim_of(const ::testing::TestParamInfo<Conversation>& info) {
  return info.param.claim;
}

inline std::string bytes(std::initializer_list<unsigned> list) {
  std::string out;
  for (const unsigned b : list) out += static_cast<char>(b);
  return out;
}

/// The text that publishes `payload` (JSON) to the channel of these tests.
inline std::string publishing(const std::string& payload) {
  return R"({"type":"publish","channel":"r","payload":)" + payload + "}";
}
/// A payload whose publishing text has exactly `size` bytes.
inline std::string payload_for(size_t size) {
  std::string out(size - publishing("").size(), 'x');
  out.front() = out.back() = '"';
  return out;
}
inline std::string text_frame(const std::string& payload) {
  return client_frame(Opcode::kText, publishing(payload));
}
inline std::string ping(const std::string& payload = {}) {
  return client_frame(Opcode::kPing, payload);
}
inline std::string pong(const std::string& payload = {}) {
  return client_frame(Opcode::kPong, payload);
}
/// A text or binary message cut into frames of `size` bytes.
inline std::vector<std::string> fragments(const std::string& message, size_t size,
                                          Opcode opcode = Opcode::kText) {
  std::vector<std::string> out;
  for (size_t at = 0; at < message.size(); at += size)
    out.push_back(client_frame(at == 0 ? opcode : Opcode::kContinuation, message.substr(at, size),
                               at + size >= message.size()));
  return out;
}

class Rfc6455Test : public NodeFixture, public ::testing::WithParamInterface<Conversation> {
 protected:
  /// Holds the conversation in every way that its bytes may be cut.
  void hold(const Conversation& c) {
    start();
    auto other = connect({"r"});
    const std::string stream = join(c.sends);
    {
      SCOPED_TRACE("all frames in one segment");
      hold_once(c, {stream}, other);
    }
    if (c.sends.size() > 1 && c.sends.size() < 100) {
      SCOPED_TRACE("a segment for each frame");
      hold_once(c, c.sends, other);
    }
    SCOPED_TRACE("in small pieces");
    const size_t piece = stream.size() < 3'000 ? 1 : 997;
    std::vector<std::string> pieces;
    for (size_t at = 0; at < stream.size(); at += piece) pieces.push_back(stream.substr(at, piece));
    hold_once(c, pieces, other);
  }

 private:
  static std::string join(const std::vector<std::string>& parts) {
    std::string out;
    for (const auto& part : parts) out += part;
    return out;
  }

  void hold_once(const Conversation& c, const std::vector<std::string>& pieces, WsClient& other) {
    auto client = connect({"r"});
    const bool stays_open = c.ends_with == Conversation::kStaysOpen;
    try {
      for (const auto& piece : pieces) client.send_raw(piece);
      if (stays_open) client.send_raw(text_frame(R"("last")"));
    } catch (const std::system_error&) {
      // The node may be gone before it has been sent everything that it won't look at.
      ASSERT_FALSE(stays_open);
    }
    std::vector<std::string> expected = c.delivered;
    if (stays_open) {
      expected.emplace_back(R"("last")");
    } else {
      expect_end(c, client);
    }
    // Nothing else was delivered: what the other socket gets next is the fence.
    expected.emplace_back(R"("fence")");
    if (!stays_open) publish("r", expected.back());
    for (const auto& payload : expected) {
      if (stays_open && payload == expected.back()) publish("r", payload);
      ASSERT_EQ(other.receive_text(), message("r", payload));
    }
    if (!stays_open) return;
    expect_pongs(c, client);
    EXPECT_EQ(client.receive_text(), message("r", R"("fence")"));
  }

  static void expect_pongs(const Conversation& c, WsClient& client) {
    for (const auto& payload : c.pongs) {
      const auto frame = client.receive();
      ASSERT_TRUE(frame);
      EXPECT_EQ(frame->opcode, Opcode::kPong);
      EXPECT_EQ(frame->payload, payload);
    }
  }

  /// The pongs, one close frame, and the end of the stream; nothing besides.
  void expect_end(const Conversation& c, WsClient& client) {
    expect_pongs(c, client);
    const auto frame = client.receive();
    ASSERT_TRUE(frame) << "the stream ended without a close frame";
    ASSERT_EQ(frame->opcode, Opcode::kClose);
    net::websocket::ClosePayload close;
    ASSERT_EQ(net::websocket::parse_close_payload(frame->payload, close), 0);
    EXPECT_EQ(close.code, c.ends_with) << close.reason;
    try {
      // The answer, if this side has not closed first; then it is one frame too many, and ignored.
      client.send(Opcode::kClose, frame->payload);
    } catch (const std::system_error&) {
    }
    EXPECT_FALSE(client.receive());
  }
};

}  // namespace raymesh::realtime
