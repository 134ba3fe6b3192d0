#include "libs/base/host_port.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>

namespace raymesh {
namespace {

Error bad_address(std::string_view text, std::string_view why) {
  return Error(errors::kInvalidRequest, "\"" + std::string(text) +
                                            "\" is not host:port: " + std::string(why) +
                                            " (examples: 127.0.0.1:5002, [::1]:5002, :5002)");
}

}  // namespace

std::string HostPort::to_string() const {
  std::string out;
  if (host.find(':') != std::string::npos) {
    out = "[" + host + "]";
  } else {
    out = host;
  }
  return out + ":" + std::to_string(port);
}

Result<HostPort> parse_host_port(std::string_view text) {
  HostPort out;
  size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad_address(text, "the port is missing");
  std::string_view host = text.substr(0, colon);
  std::string_view port = text.substr(colon + 1);
  if (host.starts_with('[')) {
    if (!host.ends_with(']')) return bad_address(text, "']' must come before the port's colon");
    host = host.substr(1, host.size() - 2);
    in6_addr ignored;
    if (inet_pton(AF_INET6, std::string(host).c_str(), &ignored) != 1)
      return bad_address(text, "not an IPv6 address between the brackets");
  } else if (host.find(':') != std::string_view::npos) {
    return bad_address(text, "an IPv6 address needs brackets");
  }
  bool clean = std::ranges::all_of(host, [](char c) { return c > ' ' && c != '/' && c != 0x7f; });
  if (!clean) return bad_address(text, "the host has a character that no host name has");
  auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (ec != std::errc() || end != port.data() + port.size())
    return bad_address(text, "the port must be a number from 0 to 65535");
  out.host = host;
  return out;
}

bool is_loopback_host(std::string_view host) {
  if (host == "localhost") return true;
  std::string text(host);
  in_addr v4;
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6;
  return inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

}  // namespace raymesh
