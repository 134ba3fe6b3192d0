// Certificates: checks of files, and new ones for a laptop or a test: an authority of its own, one
// certificate per role of the cluster for TLS between processes, and one for the public ports. For
// production use an authority that can revoke and renew (docs/operations). Blocking file work; any
// thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::crypto {

/// Who may have a certificate "<role>.raymesh" (libs/rpc/credentials.hpp). `program` is for other
/// programs, which bring a service token as well.
inline constexpr std::string_view kRoles[] = {"gateway",  "auth", "storage", "cache",
                                              "realtime", "cli",  "program"};

struct CertificateRequest {
  std::string folder;  // made with mode 0700 when it does not exist
  bool force = false;  // replace files that exist
  int days = 825;      // of every certificate, the authority's too; 1 to 825
  /// More DNS names or IP addresses for the public certificate, beside localhost.
  std::vector<std::string> public_names;
};

/// Writes ca.pem, ca-key.pem, <role>.pem and <role>-key.pem for every role, and public.pem and
/// public-key.pem (server only, no role). Keys are EC P-256 (FIPS 186-4) in PKCS #8, files have
/// mode 0600. A role's certificate names <role>.raymesh, localhost and 127.0.0.1, and serves both
/// ends of a connection. Returns the files' paths. Errors: `invalid_value` (what exists, what
/// cannot be written).
Result<std::vector<std::string>> make_development_certificates(const CertificateRequest& request);

/// Whether the PEM files can be read and fit together: the key belongs to the certificate, which
/// the authority has signed and which is valid now. Errors: `invalid_value`, naming the file.
Status check_certificate_files(const std::string& certificate, const std::string& key,
                               const std::string& authority);

}  // namespace raymesh::crypto
