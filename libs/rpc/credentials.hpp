// Who a process is, and whom it believes. mTLS with certificates from files; on loopback, where
// there may be none, a shared cluster key proves the gateway's identity; in one process the
// in-process channel does.
#pragma once

#include <string>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::rpc {

struct TlsFiles {
  std::string certificate;  // PEM file; its first DNS name "<role>.raymesh" is the identity
  std::string key;          // PEM file
  std::string authority;    // PEM file of the CA that signed every process's certificate
  bool empty() const { return certificate.empty() && key.empty() && authority.empty(); }
};

struct ClientCredentials {
  TlsFiles tls;
  std::string cluster_key;  // used on loopback only, when `tls` is empty
};

struct ServerCredentials {
  TlsFiles tls;
  std::string cluster_key;
  /// Verifies service tokens (HS256 by the project's operators): "kid:secret" pairs, the first one
  /// signs.
  std::vector<std::string> service_token_keys;
};

/// Refuses what must not start: a bind that is not loopback without certificates, half of a
/// certificate, a loopback bind with neither certificates nor cluster key. `address` is "host:port"
/// or "unix:/path".
Status check_bind(const std::string& address, const ServerCredentials& credentials);

}  // namespace raymesh::rpc
