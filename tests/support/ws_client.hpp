// A WebSocket client for tests: blocking, with a deadline on every wait, and able to break every
// rule of the protocol. One connection, one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "libs/net/websocket/frame.hpp"

struct ssl_st;

namespace raymesh::testing {

class WsClient {
 public:
  using Opcode = net::websocket::Opcode;

  struct Frame {
    Opcode opcode;
    std::string payload;
    bool compressed = false;  // it came with RSV1; the payload is what it holds
  };

  /// Connects to 127.0.0.1; no handshake yet. `receive_buffer` bounds what the kernel takes for a
  /// client that does not read.
  explicit WsClient(int port, int receive_buffer = 0);
  ~WsClient();
  WsClient(WsClient&& o) noexcept;
  WsClient& operator=(WsClient&&) = delete;

  /// Connects and opens a WebSocket; `target` is path and query. Throws when it is refused.
  static WsClient open(int port, const std::string& target, int receive_buffer = 0);
  /// Speaks TLS from here on, without checking the server's certificate.
  void start_tls();
  /// Sends the upgrade request and returns the answer's head.
  std::string handshake(const std::string& target, const std::string& extra_headers = {});
  /// Reads an answer's head. What came, when the stream ends before it is whole.
  std::string receive_head();

  void send_raw(std::string_view bytes);
  void send(Opcode opcode, std::string_view payload, bool fin = true);
  void send_text(std::string_view text) { send(Opcode::kText, text); }
  /// In one compressed frame. Throws when the text does not become smaller.
  void send_compressed(std::string_view text);
  static std::string frame(Opcode opcode, std::string_view payload, bool fin = true);

  /// The next frame, answering pings unless told not to; nullopt at the end of the stream. Throws
  /// after the deadline, and when the frame has a mask, reserved bits that nobody agreed on, or a
  /// payload that does not open.
  std::optional<Frame> receive();
  /// The next text message. Throws when something else comes.
  std::string receive_text();
  /// Reads until the close frame, answers it and returns its code (0: none in it); -1 when the
  /// stream ends without one. The reason is in `close_reason`.
  int receive_close();
  std::string close_reason;
  /// What has come, and waits for it; throws at the end of the stream.
  std::string receive_raw();
  /// Reads until the server ends the stream; what it sent.
  std::string read_to_end();
  /// True when nothing comes within the time.
  bool is_silent_for(std::chrono::milliseconds time);

  /// permessage-deflate was agreed on: set by the handshake from its answer.
  bool deflate = false;
  bool answer_pings = true;
  int pings = 0;
  std::chrono::milliseconds deadline{10'000};

 private:
  bool fill(std::chrono::milliseconds timeout);

  int fd_;
  ssl_st* ssl_ = nullptr;
  std::string in_;
};

}  // namespace raymesh::testing
