// What a client may send on its socket with the default frames:
//   {"type":"publish","channel":"...","payload":<any JSON>}
//   {"type":"refresh","token":"..."}
// The payload is not interpreted or encoded anew, only proven to be JSON and cut out. Each shard
// has one parser; one thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace raymesh::realtime {

class ClientMessageParser {
 public:
  struct Message {
    bool is_refresh = false;
    std::string_view channel;  // unescaped; valid until the next call
    std::string_view payload;  // in the message; "null" when it was missing
    std::string_view token;    // of a refresh; valid until the next call
  };

  /// False for everything that is to be ignored (semantics A7): malformed JSON, other types, no
  /// channel or token. Of a member that is given twice the last one counts, as in JSON.parse.
  bool parse(std::string_view message, Message& out);

  /// The text's one JSON value, without the space around it; nothing when it is not well-formed.
  /// Any thread.
  static std::optional<std::string_view> json_value(std::string_view text);

 private:
  std::string scratch_;
  std::string channel_;
  std::string token_;
};

}  // namespace raymesh::realtime
