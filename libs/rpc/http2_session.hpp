// HTTP/2 with gRPC's framing of messages, without a socket: bytes in, bytes out. libnghttp2 speaks
// the protocol; this class keeps the streams, puts messages together, bounds what a stream may
// hold, and hands events to the StreamHandlers. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libs/base/result.hpp"
#include "libs/rpc/stream_handler.hpp"

struct nghttp2_session;

namespace raymesh::rpc {

/// Bounds of one connection.
struct Http2Limits {
  uint32_t max_streams = 1'024;         // opened by the other side, at once
  size_t max_header_bytes = 16u << 10;  // of one header block
  size_t max_message_bytes = 4u << 20;  // of one message, before on_request_head says otherwise
  size_t max_held_bytes = 64u << 20;    // of messages that wait for their rest, all streams
};

class Http2Session {
 public:
  enum class Side { kServer, kClient };
  using StreamId = int32_t;

  Http2Session(Side side, const Http2Limits& limits);
  virtual ~Http2Session();
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;

  /// Takes bytes from the other side. False when they are not HTTP/2, or make us queue more answers
  /// than a fair client could: close the connection, after what take_output still has.
  bool receive(std::string_view bytes);
  /// Appends what is to be sent, about `max` bytes at most.
  void take_output(std::string& out, size_t max);
  /// Both sides have said that they are done (GOAWAY) and nothing is open, or nothing works any
  /// more.
  bool finished() const;

  /// Client: opens a stream. 0 when the connection takes no more.
  StreamId open(const Headers& headers, std::shared_ptr<StreamHandler> handler);

  /// What follows is ignored for a stream that is gone.
  void send_headers(StreamId stream, const Headers& headers);
  void send_message(StreamId stream, std::string_view message);
  /// Nothing more will be sent; a server's stream ends with `trailers`, and is closed with them:
  /// what the client would still send has no reader.
  void send_end(StreamId stream, const Headers& trailers);
  /// A server's stream ends with this failure, whatever was sent before.
  void send_failure(StreamId stream, const Error& error);
  /// Bytes that wait in this stream for the other side's window or the socket.
  size_t unsent(StreamId stream) const;
  /// The same, all streams.
  size_t unsent_bytes() const { return unsent_bytes_; }

  /// The handler takes no messages until `resume`: they wait here, and its window stays shut, so
  /// that the other side stops. All else of the connection goes on, windows of its own above all.
  void pause(StreamId stream);
  /// Gives the handler what has waited, before it returns.
  void resume(StreamId stream);
  /// The handler keeps a message of so many bytes, up to `let_go` or the stream's end. False when
  /// the connection holds too much already.
  bool keep(StreamId stream, size_t bytes);
  void let_go(StreamId stream);

  void ping();
  /// No new streams are taken; those that are open go on.
  void go_away();
  size_t open_streams() const { return streams_.size(); }
  /// Whether a stream is open that the end of the connection waits for.
  bool busy() const;

 protected:
  /// Server: the head of a request is there. Returns who handles the stream, or nullptr after it
  /// was answered with send_failure. `max_message_bytes` may be changed.
  virtual std::shared_ptr<StreamHandler> on_request_head(StreamId stream, const Headers& headers,
                                                         size_t& max_message_bytes) = 0;
  /// Tells every stream that it is gone. For the destructor of the class that handles them, too.
  void close_all(std::string_view reason);
  /// Handlers whose bytes have all gone into the output; taken by the owner, for on_turn.
  std::vector<std::shared_ptr<StreamHandler>> take_drained();

 private:
  struct Stream;
  struct Callbacks;

  Stream* find(StreamId id) const;
  void on_chunk(Stream& stream, std::string_view data);
  bool on_data(Stream& stream, std::string_view data);
  void on_end(Stream& stream);
  bool hold(Stream& stream, std::string_view data);
  static bool refuse(Stream& stream, std::string_view why, bool too_large);
  void drop_incoming(Stream& stream);

  const Side side_;
  const Http2Limits limits_;
  nghttp2_session* session_ = nullptr;
  std::unordered_map<StreamId, std::unique_ptr<Stream>> streams_;
  std::vector<std::shared_ptr<StreamHandler>> drained_;
  size_t held_bytes_ = 0;    // Invariant: what the streams have in incoming and kept
  size_t unsent_bytes_ = 0;  // Invariant: what the streams have in out
  bool broken_ = false;
};

}  // namespace raymesh::rpc
