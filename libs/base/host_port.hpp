// "host:port" as it stands in configuration: 127.0.0.1:5002, localhost:0, [::1]:9100, :4000 (every
// interface). Pure functions, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"

namespace raymesh {

struct HostPort {
  std::string host;  // without brackets; empty: every interface
  uint16_t port = 0;

  /// With brackets around an IPv6 address.
  std::string to_string() const;
};

/// Refuses a missing or bad port, an IPv6 address without brackets, and white space.
Result<HostPort> parse_host_port(std::string_view text);

/// True for 127.0.0.0/8, ::1 and "localhost": what only processes on this machine can reach. A name
/// that merely resolves to such an address is not.
bool is_loopback_host(std::string_view host);

}  // namespace raymesh
