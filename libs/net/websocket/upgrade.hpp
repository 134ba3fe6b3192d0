// The opening handshake (RFC 6455 section 4.2) without a socket: parses the head of an upgrade
// request (net::RequestParser, so Boost.Beast) and writes the answer. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::net::websocket {

/// The length of the request's head up to and with its empty line, or npos when that has not come.
/// Looks at bytes from `searched` on, so that a head that trickles in is not searched twice.
size_t find_head_end(std::string_view bytes, size_t searched);

struct UpgradeRequest {
  std::string method;
  std::string path;   // without the query, not decoded
  std::string query;  // without the question mark
  std::string key;    // Sec-WebSocket-Key; empty when missing or not 16 bytes of base64
  std::string origin;
  std::string protocols;      // Sec-WebSocket-Protocol, as sent
  std::string extensions;     // Sec-WebSocket-Extensions, several lines joined by commas
  std::string last_event_id;  // Last-Event-ID: where a text/event-stream goes on
  int version = 0;            // Sec-WebSocket-Version; 0 when missing
  bool is_get = false;
  bool is_upgrade = false;  // Upgrade: websocket and Connection: upgrade, HTTP/1.1, GET
  bool has_body = false;
};

/// Errors: `malformed_http`.
Result<UpgradeRequest> parse_upgrade(std::string_view head);

/// The value of `name` in an URL query, percent-decoded; empty when it is missing or malformed.
std::string query_value(std::string_view query, std::string_view name);
/// All of them, in order; malformed ones are left out.
std::vector<std::string> query_values(std::string_view query, std::string_view name);
/// Whether a header of names with commas between them has this one (section 4.1 item 10).
bool has_protocol(std::string_view protocols, std::string_view name);

/// Section 4.2.2 step 5.4: base64(SHA-1(key + GUID)).
std::string accept_value(std::string_view key);

/// The 101 answer, ready to send. `protocol` and `extensions` are the values of the headers
/// Sec-WebSocket-Protocol and Sec-WebSocket-Extensions; empty: none was agreed on.
std::string accept_response(std::string_view key, std::string_view protocol = {},
                            std::string_view extensions = {});

/// An answer with a JSON body {"error","code"} that ends the connection. `extra_headers` is empty
/// or lines that end with CRLF.
std::string refuse_response(int status, const Error& error, std::string_view extra_headers = {});

}  // namespace raymesh::net::websocket
