// Compresses messages to frames for every connection that has agreed to permessage-deflate
// (deflate_offer.hpp). One compressor serves them all, because each message starts without a
// window: a frame is made once, whoever it is sent to. Belongs to whoever encodes messages, on one
// thread; holds nothing before its first message, and about 0.2 MB and the longest frame after it.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "libs/net/websocket/frame.hpp"

struct z_stream_s;

namespace raymesh::net::websocket {

struct DeflateOptions {
  /// zlib's, 1 (fast) to 9.
  int level = 1;
  /// Smaller messages stay as they are: they gain little and cost the others' time.
  size_t min_bytes = 256;
};

class MessageDeflater {
 public:
  explicit MessageDeflater(DeflateOptions options = {});
  ~MessageDeflater();
  MessageDeflater(const MessageDeflater&) = delete;
  MessageDeflater& operator=(const MessageDeflater&) = delete;

  /// The whole server frame of a text or binary message, with RSV1 set (RFC 7692 section 7.2.1);
  /// stays valid until the next call. Empty: the message is to be sent uncompressed, because it is
  /// short, because it would not become smaller, or because there was no memory.
  std::string_view frame(Opcode opcode, std::string_view payload);

  /// What connections with permessage-deflate get in place of `frames`, whole plain frames of this
  /// server, one behind the other: each data frame compressed where that makes it smaller, all else
  /// as it is. `out` has room for frames.size() bytes, which is the most that it takes. Returns the
  /// bytes written; frames.size() means that nothing became smaller, so `frames` itself will do.
  size_t recode(std::string_view frames, char* out);

 private:
  struct Closer {
    void operator()(z_stream_s* stream) const;
  };
  bool open();
  void reserve(size_t bytes);

  const DeflateOptions options_;
  std::unique_ptr<z_stream_s, Closer> stream_;
  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0;
};

}  // namespace raymesh::net::websocket
