// What the gateway reads off a request's address and headers before anything else: who the client
// is, whether a development key may be used from there, and which ids it brought. Pure; any thread.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <string>
#include <string_view>

#include "libs/net/http_request.hpp"

namespace raymesh::gateway {

/// The client's address: `peer`, or with `trusted_hops` > 0 that element of X-Forwarded-For
/// (counted from the right; all such fields are one list) which the outermost trusted proxy wrote.
/// Anything that is not an address there falls back to `peer`.
std::string client_address(const net::RequestHead& head, const std::string& peer,
                           size_t trusted_hops);

/// The address of a connection's other end as a text; IPv4 in IPv6 is IPv4.
std::string address_text(const boost::asio::ip::address& address);

/// The name that clients of one network are counted under: an IPv4 address, or an IPv6 /64.
std::string address_bucket(const std::string& address);

/// DNS rebinding defence for a key that everybody knows: true when Host and, if there is one,
/// Origin name this machine. An opaque origin ("null") does not.
bool is_local_request(const net::RequestHead& head);

/// A request id that may be taken over into logs and answers: 1 to 128 of A-Z a-z 0-9 . _ -
bool is_acceptable_request_id(std::string_view id);

/// The key in "Authorization: Bearer <key>" (scheme in any case), or an empty view.
std::string_view bearer_key(std::string_view authorization);

/// The value of `name` in a query string, still percent-encoded; empty when it is missing or
/// empty. The first one counts.
std::string_view query_value(std::string_view query, std::string_view name);

}  // namespace raymesh::gateway
