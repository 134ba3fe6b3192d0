// The text of an answer's head (RFC 9112), appended to a buffer that is sent as it is. Pure; the
// Date line is remembered for a second per thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace raymesh::gateway {

struct ResponseHead {
  int status = 200;
  uint64_t content_length = 0;
  bool has_content = true;  // false for 204: neither length nor type
  bool close = false;
  std::string_view request_id = {};
  std::string_view allow = {};  // of a 405
  uint32_t retry_after = 0;     // seconds; 0: none
  bool preflight = false;       // the CORS headers that answer an OPTIONS
};

/// Everything up to and with the empty line.
void append_head(std::string& out, const ResponseHead& head);

/// RFC 9110 section 15's phrase, or "Unknown".
std::string_view reason_phrase(int status);

}  // namespace raymesh::gateway
