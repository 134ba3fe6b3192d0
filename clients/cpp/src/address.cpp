#include "clients/cpp/src/address.hpp"

#include <algorithm>

#include "clients/cpp/src/failures.hpp"

namespace raymesh::client {
namespace {

struct Scheme {
  std::string_view name;
  bool websocket;
  bool tls;
  const char* port;
};
constexpr Scheme kSchemes[] = {
    {"tcp", false, false, "4100"}, {"tls", false, true, "4100"}, {"ws", true, false, "80"},
    {"wss", true, true, "443"},    {"http", true, false, "80"},  {"https", true, true, "443"},
};

}  // namespace

std::string Address::authority() const {
  const bool brackets = host.find(':') != std::string::npos;
  return (brackets ? '[' + host + ']' : host) + ':' + port;
}

Address parse_address(std::string_view url) {
  const auto refuse = [&](const char* why) {
    return invalid_option("\"" + std::string(url) + "\" is no address of a gateway: " + why);
  };
  const size_t colon = url.find("://");
  const auto scheme = std::find_if(std::begin(kSchemes), std::end(kSchemes), [&](const Scheme& s) {
    return s.name == url.substr(0, std::min(colon, url.size()));
  });
  if (colon == std::string_view::npos || scheme == std::end(kSchemes))
    throw refuse("it begins with tcp://, tls://, ws://, wss://, http:// or https://");
  Address address{scheme->websocket, scheme->tls, {}, scheme->port, "/raystream"};
  std::string_view rest = url.substr(colon + 3);
  const size_t slash = rest.find('/');
  if (slash != std::string_view::npos) {
    if (!scheme->websocket && slash + 1 != rest.size()) throw refuse("it has no path");
    if (slash + 1 != rest.size()) address.path = rest.substr(slash);
    rest = rest.substr(0, slash);
  }
  if (rest.find_first_of("@?# ") != std::string_view::npos) throw refuse("host and port only");
  size_t port_at = rest.rfind(':');
  if (rest.starts_with('[')) {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos) throw refuse("a bracket is missing");
    address.host = rest.substr(1, end - 1);
    port_at = end + 1 < rest.size() ? end + 1 : std::string_view::npos;
    if (port_at != std::string_view::npos && rest[port_at] != ':') throw refuse("what is behind ]");
  } else {
    address.host = rest.substr(0, port_at);
  }
  if (address.host.empty()) throw refuse("the host is missing");
  if (port_at != std::string_view::npos) {
    address.port = rest.substr(port_at + 1);
    const bool number = !address.port.empty() && address.port.size() <= 5 &&
                        std::all_of(address.port.begin(), address.port.end(),
                                    [](char c) { return c >= '0' && c <= '9'; });
    if (!number || std::stoi(address.port) > 65'535) throw refuse("the port is no number");
  }
  return address;
}

}  // namespace raymesh::client
