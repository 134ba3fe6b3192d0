#include "libs/rpc/credentials.hpp"

#include "libs/crypto/certificates.hpp"

namespace raymesh::rpc {
Status check_tls_files(const TlsFiles& tls) {
  if (tls.certificate.empty() || tls.key.empty() || tls.authority.empty())
    return Error(errors::kInvalidValue,
                 "mesh certificates: certificate, key and CA belong together; set all three");
  return crypto::check_certificate_files(tls.certificate, tls.key, tls.authority);
}

std::string role_of_service(std::string_view service) {
  const size_t start = service.find('.') + 1;
  return std::string(service.substr(start, service.find('.', start) - start));
}

bool is_loopback(std::string_view address) {
  if (address.starts_with("unix:")) return true;
  const size_t colon = address.rfind(':');
  std::string_view host = address.substr(0, colon);
  if (host == "localhost" || host == "[::1]") return true;
  if (!host.starts_with("127.")) return false;
  // A name such as 127.example.org is not an address.
  return host.find_first_not_of("0123456789.") == std::string_view::npos;
}

Status check_bind(const std::string& address, const ServerCredentials& credentials) {
  if (!credentials.tls.empty()) return check_tls_files(credentials.tls);
  if (address.empty()) return ok_status();
  if (!is_loopback(address))
    return Error(errors::kInvalidValue,
                 "listen address " + address +
                     " is not loopback: that needs mesh certificates (--mesh-cert, --mesh-key, "
                     "--mesh-ca; `raymesh certs dev` makes some)");
  if (credentials.cluster_key.empty())
    return Error(errors::kInvalidValue, "listen address " + address +
                                            ": set --cluster-key or mesh certificates, so that "
                                            "only the gateway is believed");
  if (credentials.cluster_key.size() < kMinClusterKeyBytes)
    return Error(errors::kInvalidValue, "the cluster key is shorter than " +
                                            std::to_string(kMinClusterKeyBytes) + " characters");
  return ok_status();
}

Status check_endpoint(const std::string& endpoint, const ClientCredentials& credentials) {
  if (!credentials.tls.empty()) return check_tls_files(credentials.tls);
  std::string_view address = endpoint;
  if (address.starts_with("dns:")) address.remove_prefix(4);
  if (!is_loopback(address))
    return Error(errors::kInvalidValue, "endpoint " + endpoint +
                                            " is not loopback: that needs mesh certificates "
                                            "(--mesh-cert, --mesh-key, --mesh-ca)");
  return ok_status();
}

}  // namespace raymesh::rpc
