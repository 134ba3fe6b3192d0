// From frames to messages (RFC 6455 section 5.4): joins fragments, bounds the message, checks text
// for UTF-8 unless it is compressed. A message in one frame is passed through where it lies; only a
// fragmented one is copied, and only while it is incomplete does anything here hold memory. One
// owner, one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "libs/net/websocket/frame.hpp"
#include "libs/net/websocket/utf8_stream.hpp"

namespace raymesh::net::websocket {

class MessageAssembler {
 public:
  enum class Status : uint8_t { kIncomplete, kMessage, kError };

  struct Message {
    bool is_text = false;
    /// Not yet opened, and its text not checked: MessageInflater does both.
    bool is_compressed = false;
    /// In the frame's buffer, or in this object until the next `add` or `release`.
    std::span<char> payload;
  };

  /// Takes a data frame (text, binary or continuation). kError sets `error` to 1002 (continuation
  /// without a start, a new message inside a fragmented one), 1007 or 1009.
  Status add(const Frame& frame, size_t max_message, Message& out, uint16_t& error);

  /// Frees a message that `add` handed out; an unfinished one stays.
  void release() {
    if (partial_ && partial_->done) partial_.reset();
  }
  /// Bytes that the unfinished message holds.
  size_t buffered() const { return partial_ ? partial_->bytes.size() : 0; }
  bool in_message() const { return partial_ && !partial_->done; }

 private:
  struct Partial {
    std::string bytes;
    Utf8Stream utf8;
    bool is_text = false;
    bool is_compressed = false;
    bool done = false;  // handed out
  };
  std::unique_ptr<Partial> partial_;
};

}  // namespace raymesh::net::websocket
