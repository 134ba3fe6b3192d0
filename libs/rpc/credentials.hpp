// Who a process is, and whom it believes. mTLS with certificates from files; on loopback, where
// there may be none, a shared cluster key proves the gateway's identity; in one process the
// in-process connection does. Values, used at start-up.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::rpc {

struct TlsFiles {
  std::string certificate;  // PEM file; its DNS name "<role>.raymesh" is the identity
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
  /// At least kMinClusterKeyBytes; ignored when `tls` is set.
  std::string cluster_key;
  /// Verifies service tokens: "kid:secret" pairs (crypto::KeyRing), the first one signs.
  std::vector<std::string> service_token_keys;
};

inline constexpr size_t kMinClusterKeyBytes = 16;

/// Metadata of a stream or a unary call that proves the gateway on loopback.
inline constexpr char kClusterKeyMetadata[] = "raymesh-cluster-key";
/// The domain of identities: a certificate of the gateway names "gateway.raymesh".
inline constexpr std::string_view kIdentityDomain = ".raymesh";

/// Refuses what must not start: a bind that is not loopback without certificates, half of a
/// certificate, a loopback bind with neither certificates nor cluster key. `address` is "host:port"
/// or "unix:/path"; empty (in-process only) is always allowed.
Status check_bind(const std::string& address, const ServerCredentials& credentials);

/// The same for the other end: a key must not leave the machine, so an endpoint that is not
/// loopback needs certificates.
Status check_endpoint(const std::string& endpoint, const ClientCredentials& credentials);

/// The role that serves a gRPC service: "raymesh.storage.v1.Storage" is served by "storage".
std::string role_of_service(std::string_view service);

/// True for "127.x.y.z:port", "[::1]:port", "localhost:port" and "unix:/path".
bool is_loopback(std::string_view address);

/// Refuses half of a certificate, files that cannot be read, and ones that do not fit together.
Status check_tls_files(const TlsFiles& tls);

}  // namespace raymesh::rpc
