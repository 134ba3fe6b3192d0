// The servers' signing keys: those that an application pins, or the gateway's own word where the
// way to it can be trusted.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <vector>

#include "clients/cpp/src/address.hpp"
#include "libs/raystream/client_handshake.hpp"
#include "raymesh/client/options.hpp"

namespace raymesh::client {

/// Throws Error, `invalid_option`, naming the key.
std::vector<raystream::PinnedKey> pinned_keys(const std::vector<ServerKey>& keys);

/// From GET /api/v1/raystream/key, over HTTPS or on loopback; `server_keys_needed` elsewhere.
boost::asio::awaitable<std::vector<raystream::PinnedKey>> fetch_server_keys(
    const Address& address, const std::string& tls_ca_file, const std::string& api_key);

}  // namespace raymesh::client
