// Addresses to listen on, as configuration writes them, and what counts as this machine. Pure; any
// thread.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::net {

/// "127.0.0.1:4000", "[::1]:4000", "localhost:4000", "*:4000" (every IPv4 address) or ":4000"
/// (the same). Port 0 lets the kernel choose. Names other than localhost are refused: a listener's
/// address must not depend on a resolver. Localhost is two addresses, 127.0.0.1 and ::1, because
/// clients differ in which of them they try; all else is one.
Result<std::vector<boost::asio::ip::tcp::endpoint>> parse_endpoints(std::string_view text);

/// True for the host part of a Host header or URL that names this machine: localhost, *.localhost
/// (RFC 6761), 127.0.0.0/8 and ::1, with or without a port.
bool is_loopback_authority(std::string_view authority);

}  // namespace raymesh::net
