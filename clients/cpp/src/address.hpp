// Where a gateway is, out of an application's URL. Pure.
#pragma once

#include <string>
#include <string_view>

namespace raymesh::client {

struct Address {
  bool websocket = false;
  bool tls = false;
  std::string host;  // without brackets
  std::string port;
  std::string path;  // of the WebSocket

  /// As in a Host header.
  std::string authority() const;
};

/// tcp://, tls://, ws://, wss://, http:// and https://. Throws Error, `invalid_option`.
Address parse_address(std::string_view url);

}  // namespace raymesh::client
