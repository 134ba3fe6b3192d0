// What sits on one HTTP/2 stream: a unary call, a `Calls` stream, the client's end of one.
// Everything runs on the connection's thread. Held by its connection until on_closed.
#pragma once

#include <string_view>

#include "libs/rpc/headers.hpp"

namespace raymesh::rpc {

class StreamHandler {
 public:
  virtual ~StreamHandler() = default;

  /// Headers of the other side: the answer's, then its trailers.
  virtual void on_headers(const Headers&) {}
  /// One gRPC message, whole. The view is valid until this returns.
  virtual void on_message(std::string_view message) = 0;
  /// The other side sent what is no message of gRPC, or one above a bound; nothing more is taken
  /// from it on this stream.
  virtual void on_bad_message(std::string_view why, bool too_large) = 0;
  /// The other side will send no more.
  virtual void on_end() = 0;
  /// The last event: the stream was finished by both sides, reset, or went with its connection
  /// (`reason`, for people, is empty for the first).
  virtual void on_closed(std::string_view reason) = 0;
  /// Http2Connection::wake was called, or what was sent last has left: the place to send.
  virtual void on_turn() = 0;
  /// False when a connection that ends need not wait for this stream.
  virtual bool holds_up_the_end() const { return true; }
};

}  // namespace raymesh::rpc
