#include "services/gateway/edge_rules.hpp"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <vector>

#include "libs/net/endpoint.hpp"

namespace raymesh::gateway {
namespace {

using boost::asio::ip::address;

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

}  // namespace

std::string client_address(const net::RequestHead& head, const std::string& peer,
                           size_t trusted_hops) {
  if (trusted_hops == 0) return peer;
  std::vector<std::string_view> hops;
  for (const auto& [name, value] : head.fields) {
    if (!net::equals_ignoring_case(name, "X-Forwarded-For")) continue;
    size_t start = 0;
    while (start <= value.size()) {
      const size_t end = std::min(value.find(',', start), value.size());
      hops.push_back(trim(value.substr(start, end - start)));
      start = end + 1;
    }
  }
  if (hops.size() < trusted_hops) return peer;
  boost::system::error_code ec;
  const address a =
      boost::asio::ip::make_address(std::string(hops[hops.size() - trusted_hops]), ec);
  return ec ? peer : a.to_string();
}

std::string address_text(const address& a) {
  if (a.is_v6() && a.to_v6().is_v4_mapped())
    return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, a.to_v6()).to_string();
  return a.to_string();
}

std::string address_bucket(const std::string& text) {
  if (text.find(':') == std::string::npos) return text;
  boost::system::error_code ec;
  const address a = boost::asio::ip::make_address(text, ec);
  if (ec || !a.is_v6()) return text;
  auto bytes = a.to_v6().to_bytes();
  if (a.to_v6().is_v4_mapped())
    return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, a.to_v6()).to_string();
  std::fill(bytes.begin() + 8, bytes.end(), uint8_t{0});
  return boost::asio::ip::address_v6(bytes).to_string() + "/64";
}

bool is_local_request(const net::RequestHead& head) {
  if (head.count("Host") != 0 && !net::is_loopback_authority(head.field("Host"))) return false;
  for (const auto& [name, value] : head.fields) {
    if (!net::equals_ignoring_case(name, "Origin")) continue;
    const size_t scheme = value.find("://");
    if (scheme == std::string_view::npos) return false;
    if (!net::is_loopback_authority(value.substr(scheme + 3))) return false;
  }
  return true;
}

bool is_acceptable_request_id(std::string_view id) {
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

std::string_view bearer_key(std::string_view authorization) {
  constexpr std::string_view kScheme = "Bearer ";
  if (authorization.size() <= kScheme.size() ||
      !net::equals_ignoring_case(authorization.substr(0, kScheme.size()), kScheme))
    return {};
  return trim(authorization.substr(kScheme.size()));
}

std::string_view query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    const size_t equals = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equals) == name)
      return equals < pair.size() ? pair.substr(equals + 1) : std::string_view{};
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return {};
}

}  // namespace raymesh::gateway
