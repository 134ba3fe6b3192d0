// Opens the compressed messages of clients (permessage-deflate, RFC 7692 section 7.2.2). One serves
// every connection of its thread, because no message refers to the one before it. What a message
// may become is bounded, and with it the memory and the time that it can cost, whatever it claims.
// Holds nothing before the first compressed message; afterwards zlib's state (about 40 KiB) and a
// buffer of at most the largest message.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "libs/net/websocket/message_assembler.hpp"

struct z_stream_s;

namespace raymesh::net::websocket {

class MessageInflater {
 public:
  MessageInflater();
  ~MessageInflater();
  MessageInflater(const MessageInflater&) = delete;
  MessageInflater& operator=(const MessageInflater&) = delete;

  /// Leaves a message that is not compressed as it is. Of a compressed one it replaces the payload
  /// by what it holds, which stays valid until the next call, and checks text for UTF-8. Returns 0,
  /// or the code to close the connection with: 1007 when the bytes are not whole DEFLATE blocks or
  /// the text is not UTF-8, 1009 when they hold more than `max_message` bytes, 1011 when there was
  /// no memory.
  uint16_t open(MessageAssembler::Message& message, size_t max_message);

 private:
  struct Closer {
    void operator()(z_stream_s* stream) const;
  };
  bool reset();
  uint16_t inflate_all(std::span<const char> in, size_t max_message, size_t& size);
  void grow(size_t used, size_t most);

  std::unique_ptr<z_stream_s, Closer> stream_;
  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0;
};

}  // namespace raymesh::net::websocket
