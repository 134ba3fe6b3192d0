// The head of an HTTP/1.1 request (RFC 9112), read from a buffer that the caller owns: Beast's
// parser does the grammar, this file adds what keeps a request from being read differently by
// somebody else (request smuggling, RFC 9112 section 11.2) and works out how the body is framed.
// Used by the gateway's sessions and by realtime's WebSocket upgrade. A RequestParser belongs to
// one thread and may serve all of its connections, because it keeps nothing between calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace raymesh::net {

/// Everything points into the buffer that was parsed.
struct RequestHead {
  std::string_view method;
  std::string_view target;  // as sent: path and query, or "*", or an absolute URI
  std::vector<std::pair<std::string_view, std::string_view>> fields;  // in order, values trimmed
  size_t size = 0;  // bytes of the buffer that the head takes, with its empty line

  bool http_1_1 = true;  // false: HTTP/1.0
  bool keep_alive = true;
  bool upgrade = false;          // Connection: upgrade (RFC 9110 section 7.8)
  bool expect_continue = false;  // RFC 9110 section 10.1.1
  bool chunked = false;          // the body is chunked; otherwise it has content_length bytes
  uint64_t content_length = 0;

  /// The value of the first field with this name (any case), or an empty view.
  std::string_view field(std::string_view name) const;
  size_t count(std::string_view name) const;
  /// Whether one of the comma-separated elements of any such field equals `token` (any case).
  bool has_token(std::string_view name, std::string_view token) const;
};

enum class HeadState {
  kComplete,
  kNeedMore,   // read more behind the same bytes and call again
  kMalformed,  // 400, then close: where the next request starts is unknown
  kTooLarge,   // 431, then close
};

struct HeadLimits {
  size_t max_bytes = 16u << 10;
  size_t max_fields = 100;
};

class RequestParser {
 public:
  explicit RequestParser(HeadLimits limits = {}) : limits_(limits) {}

  /// `buffer` starts with the request. Refused as malformed: what the grammar does not allow, bare
  /// CR or LF, folded lines, space before a colon, no or several Host in HTTP/1.1, several
  /// Content-Length, one that is not just digits, Content-Length beside Transfer-Encoding, any
  /// Transfer-Encoding but a single "chunked", and Transfer-Encoding in HTTP/1.0.
  HeadState parse(std::string_view buffer, RequestHead& head);
  /// After kMalformed: what is wrong, for the answer.
  std::string_view reason() const { return reason_; }

 private:
  HeadState find_end(std::string_view buffer, size_t& end);
  HeadState malformed(std::string_view reason);
  HeadState frame(RequestHead& head);

  HeadLimits limits_;
  std::string_view reason_;
};

/// Equality of ASCII text, upper and lower case alike (field names, tokens; RFC 9110 section 5.1).
bool equals_ignoring_case(std::string_view a, std::string_view b);

}  // namespace raymesh::net
