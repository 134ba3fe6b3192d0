// The negotiation of permessage-deflate (RFC 7692 section 7.1): reads what a client offers in
// Sec-WebSocket-Extensions and says what the server answers. There is one set of parameters, so
// that one compressed frame serves every connection that has agreed to any: neither side takes its
// window over to the next message, and the server's window is the largest. Pure functions without
// state; any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace raymesh::net::websocket {

/// The window that the server compresses with, as a power of two.
inline constexpr int kDeflateWindowBits = 15;

enum class DeflateDecision : uint8_t {
  kDeclined,   // nothing that fits was offered: the connection opens without compression
  kAccepted,   // `answer` belongs into the 101
  kMalformed,  // RFC 6455 section 9.1: the handshake fails, with 400
};

struct DeflateAnswer {
  DeflateDecision decision = DeflateDecision::kDeclined;
  /// The value of Sec-WebSocket-Extensions in the answer; lives as long as the program.
  std::string_view answer;
};

/// Takes the first offer of permessage-deflate that fits. `offers` is the request's header; several
/// lines are joined by commas (RFC 9110 section 5.3). An offer is declined, and the next one looked
/// at, when it has an unknown parameter, one twice, or a value that section 7.1 does not allow, and
/// when it asks for a smaller window than kDeflateWindowBits: what is compressed for the others
/// could not be sent to that client.
DeflateAnswer answer_deflate(std::string_view offers);

}  // namespace raymesh::net::websocket
