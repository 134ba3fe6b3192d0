// THE table of close codes that a realtime socket can end with, and what a client does about each:
// 4000-4499 reconnect, 4500-4999 don't; of the protocol's own codes 1001, 1011 and 1012 mean
// reconnect. docs/protocols/realtime.md shows the same table, and a test compares the two.
// Constants only.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "libs/net/websocket/frame.hpp"

namespace raymesh::realtime {

struct CloseCode {
  uint16_t code;
  std::string_view reason;  // sent in the close frame
  bool reconnect;
  std::string_view meaning;
};

namespace close {

namespace ws = net::websocket::close_code;

inline constexpr CloseCode kNormal{ws::kNormal, "bye", false, "The client closed the connection"};
inline constexpr CloseCode kGoingAway{ws::kGoingAway, "going away", true,
                                      "The client's page went away, or a proxy on the way ended"};
inline constexpr CloseCode kProtocolError{ws::kProtocolError, "protocol error", false,
                                          "A frame broke RFC 6455, for example without a mask"};
inline constexpr CloseCode kInvalidPayload{ws::kInvalidPayload, "text is not UTF-8", false,
                                           "A text message is not well-formed UTF-8"};
inline constexpr CloseCode kPolicyViolation{ws::kPolicyViolation, "policy violation", false,
                                            "The client sent what its state does not allow"};
inline constexpr CloseCode kMessageTooBig{ws::kMessageTooBig, "message too big", false,
                                          "A message is above max-message-bytes"};
inline constexpr CloseCode kInternalError{ws::kInternalError, "internal error", true,
                                          "A defect in the node or a channel that was restarted"};
inline constexpr CloseCode kServiceRestart{
    ws::kServiceRestart, "reconnect_after_ms=0", true,
    "The node is being stopped; the reason says after how many milliseconds to come back"};
inline constexpr CloseCode kTokenExpired{4401, "token expired", true,
                                         "The token has expired: come back with a new one"};
inline constexpr CloseCode kTooSlow{4408, "too slow", true,
                                    "More than max-backlog-bytes were waiting for this client"};
inline constexpr CloseCode kMessagesLost{
    4409, "reconnect_after_ms=0", true,
    "Messages for this client were lost; the reason says after how many milliseconds to come back"};
inline constexpr CloseCode kRateLimited{4429, "rate limited", true,
                                        "More messages per second than publish-rate allows"};
inline constexpr CloseCode kRevoked{4503, "revoked", false,
                                    "The token, its session or its identity was revoked"};

inline constexpr std::array kAll{kNormal,          kGoingAway,     kProtocolError, kInvalidPayload,
                                 kPolicyViolation, kMessageTooBig, kInternalError, kServiceRestart,
                                 kTokenExpired,    kTooSlow,       kMessagesLost,  kRateLimited,
                                 kRevoked};

}  // namespace close
}  // namespace raymesh::realtime
