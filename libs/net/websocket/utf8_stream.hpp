// UTF-8 checked over several pieces (RFC 6455 section 8.1): a sequence may be cut anywhere, and
// what can no longer become well-formed is refused at once. A few bytes of state; one owner.
#pragma once

#include <cstddef>
#include <string_view>

namespace raymesh::net::websocket {

/// Whole texts, vectorised.
bool is_utf8(std::string_view text);

class Utf8Stream {
 public:
  /// False when the bytes so far cannot be the start of well-formed UTF-8.
  bool feed(std::string_view piece);
  /// True when no sequence is left open.
  bool complete() const { return pending_size_ == 0; }
  void reset() { pending_size_ = 0; }

 private:
  // Invariant: the first pending_size_ bytes are a proper prefix of a well-formed sequence.
  char pending_[4];
  unsigned char pending_size_ = 0;
};

}  // namespace raymesh::net::websocket
