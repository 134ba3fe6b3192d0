// Mutual TLS between processes, from the files of credentials.hpp. Used at start-up.
#pragma once

#include <memory>

#include "libs/base/result.hpp"
#include "libs/net/tls_context.hpp"
#include "libs/rpc/credentials.hpp"

namespace raymesh::rpc {

/// One end of it: TLS 1.2 or 1.3, both sides show a certificate of the authority, files are read
/// again when they change. nullptr (plain) for empty `tls`. Errors: `invalid_value` for files that
/// cannot be read or do not fit together.
inline Result<std::shared_ptr<net::TlsContext>> load_mesh_tls(const TlsFiles& tls,
                                                              net::TlsContext::Role role) {
  if (tls.empty()) return std::shared_ptr<net::TlsContext>();
  RAYMESH_CHECK_OK(check_tls_files(tls));
  return net::TlsContext::load({tls.certificate, tls.key, tls.authority}, role);
}

}  // namespace raymesh::rpc
