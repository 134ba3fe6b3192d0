// A raystream client for tests of the gateway: blocking, over TCP or a WebSocket, with a deadline
// on every wait, and able to send what no client should. One connection, one thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "libs/raystream/client_handshake.hpp"
#include "libs/raystream/session.hpp"
#include "raymesh/raystream/v1/raystream.pb.h"
#include "tests/support/ws_client.hpp"

namespace raymesh::testing {

enum class Transport { kTcp, kWebSocket };

class RaystreamClient {
 public:
  /// Connects to 127.0.0.1, and opens the WebSocket; nothing of raystream is sent yet.
  RaystreamClient(Transport transport, int port, int receive_buffer = 0);

  struct Received {
    raystream::FrameType type = raystream::FrameType::kClose;
    std::string payload;
    bool plain = false;
  };

  /// The INIT frame, to be sent or broken; with `resume` it asks to go on with that session.
  std::string init(raystream::ClientOptions options, const raystream::Resumption* resume = nullptr);
  /// Sends INIT and reads RESPONSE. False: it was refused, see `closed`.
  bool shake_hands(raystream::ClientOptions options);
  /// Reads the answer to an INIT that was sent.
  bool read_response();

  /// One whole frame as it is.
  void send_frame(std::string_view frame);
  void send(raystream::FrameType type, std::string_view payload);
  /// The frame that `send` would send now.
  std::string seal(raystream::FrameType type, std::string_view payload);
  void call(uint64_t id, const std::string& method, const std::string& args = {},
            bool more = false);

  /// The next frame; nullopt at the end of the stream. A CLOSE is kept in `closed`, too.
  std::optional<Received> receive();
  /// Reads to the end of the stream, whatever comes; the code of its CLOSE (kNone: none came).
  raystream::ErrorCode receive_close();
  /// The next frame, which must be RPC_ERROR.
  raymesh::raystream::v1::RpcError receive_error();

  const raystream::ClientHandshake& handshake() const { return *handshake_; }
  WsClient& socket() { return socket_; }
  raystream::Session& session() { return session_; }
  std::optional<raystream::CloseReason> closed;
  int websocket_code = 0;  // of the WebSocket's close frame

 private:
  std::optional<std::string> receive_frame();

  Transport transport_;
  WsClient socket_;
  std::string in_;
  std::optional<raystream::ClientHandshake> handshake_;
  raystream::Session session_;
};

}  // namespace raymesh::testing
