#include "libs/net/endpoint.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <charconv>

namespace raymesh::net {
namespace {

bool parse_port(std::string_view text, uint16_t& port) {
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), port);
  return ec == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool equals_lower(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() &&
         std::equal(text.begin(), text.end(), lower.begin(), [](char a, char b) {
           return (a >= 'A' && a <= 'Z' ? static_cast<char>(a + 32) : a) == b;
         });
}

}  // namespace

Result<std::vector<boost::asio::ip::tcp::endpoint>> parse_endpoints(std::string_view text) {
  using boost::asio::ip::tcp;
  auto refuse = [&](const char* why) {
    return Error(errors::kInvalidRequest,
                 "\"" + std::string(text) + "\" is not an address to listen on: " + why);
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse("write host:port");
  std::string_view host = text.substr(0, colon);
  uint16_t port = 0;
  if (!parse_port(text.substr(colon + 1), port)) return refuse("the port is not 0 to 65535");
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return refuse("write an IPv6 address in brackets");
  }
  if (host.empty() || host == "*") host = "0.0.0.0";
  if (host == "localhost")
    return std::vector<tcp::endpoint>{{boost::asio::ip::address_v4::loopback(), port},
                                      {boost::asio::ip::address_v6::loopback(), port}};
  boost::system::error_code ec;
  auto address = boost::asio::ip::make_address(std::string(host), ec);
  if (ec) return refuse("the host is not an IP address");
  return std::vector<tcp::endpoint>{{address, port}};
}

bool is_loopback_authority(std::string_view authority) {
  std::string_view host = authority;
  if (!host.empty() && host.front() == '[') {
    const size_t close = host.find(']');
    if (close == std::string_view::npos) return false;
    const std::string_view rest = host.substr(close + 1);
    uint16_t port = 0;
    if (!rest.empty() && (rest.front() != ':' || !parse_port(rest.substr(1), port))) return false;
    host = host.substr(1, close - 1);
  } else if (const size_t colon = host.find(':'); colon != std::string_view::npos) {
    uint16_t port = 0;
    if (!parse_port(host.substr(colon + 1), port)) return false;
    host = host.substr(0, colon);
  }
  if (equals_lower(host, "localhost")) return true;
  constexpr std::string_view kSuffix = ".localhost";
  if (host.size() > kSuffix.size() &&
      equals_lower(host.substr(host.size() - kSuffix.size()), kSuffix))
    return true;
  boost::system::error_code ec;
  auto address = boost::asio::ip::make_address(std::string(host), ec);
  return !ec && address.is_loopback();
}

}  // namespace raymesh::net
