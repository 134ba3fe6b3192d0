// What a client may send on its socket: {"type":"publish","channel":"...","payload":<any JSON>}.
// The payload is not interpreted or encoded anew, only proven to be JSON and cut out. Each shard
// has one parser, which keeps its buffers between messages; one thread.
#pragma once

#include <memory>
#include <span>
#include <string_view>

namespace raymesh::realtime {

class ClientMessageParser {
 public:
  /// Bytes behind a message that must be readable (not defined) to parse it where it lies.
  static constexpr size_t kPadding = 64;

  ClientMessageParser();
  ~ClientMessageParser();

  struct Publish {
    std::string_view channel;  // unescaped; valid until the next call
    std::string_view payload;  // in the message; "null" when it was missing
  };

  /// False for everything that is to be ignored (semantics A7): malformed JSON, other types, no
  /// channel. Of a member that is given twice the last one counts, as in JSON.parse. `is_padded`:
  /// kPadding bytes behind the message are readable.
  bool parse_publish(std::span<const char> message, bool is_padded, Publish& out);

  /// Whether the text is one well-formed JSON value.
  bool is_json(std::string_view text);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace raymesh::realtime
