// What a client writes: masked frames, right or deliberately wrong, for the codec's tests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libs/net/websocket/frame.hpp"

namespace raymesh::net::websocket {

/// A frame with the first byte given as it is, so that tests can set any bit.
inline std::string raw_client_frame(unsigned first_byte, std::string_view payload,
                                    const std::string& mask = "\x37\xfa\x21\x3d") {
  std::string out(1, static_cast<char>(first_byte));
  if (payload.size() < 126) {
    out += static_cast<char>(0x80 | payload.size());
  } else if (payload.size() < 0x10000) {
    out += static_cast<char>(0x80 | 126);
    for (int shift = 8; shift >= 0; shift -= 8) out += static_cast<char>(payload.size() >> shift);
  } else {
    out += static_cast<char>(0x80 | 127);
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(payload.size() >> shift);
  }
  out += mask;
  for (size_t i = 0; i < payload.size(); ++i) out += static_cast<char>(payload[i] ^ mask[i % 4]);
  return out;
}

inline std::string client_frame(Opcode opcode, std::string_view payload, bool fin = true) {
  return raw_client_frame((fin ? 0x80u : 0u) | static_cast<unsigned>(opcode), payload);
}

}  // namespace raymesh::net::websocket
