#include "libs/rpc/peer.hpp"

#include "libs/rpc/credentials.hpp"
#include "libs/rpc/discovery.hpp"
#include "libs/rpc/mesh_tls.hpp"
#include "libs/rpc/peer_group.hpp"
#include "libs/rpc/server.hpp"

namespace raymesh::rpc {

Result<std::shared_ptr<Peer>> connect_peer(PeerConfig config,
                                           const ClientCredentials& credentials) {
  if (config.endpoints.empty())
    return Error(errors::kInvalidValue, config.service + ": no endpoints are configured");
  for (const auto& endpoint : config.endpoints) {
    RAYMESH_CHECK_OK(Discovery::check(endpoint));
    RAYMESH_CHECK_OK(check_endpoint(endpoint, credentials));
  }
  Dialer dialer;
  dialer.service = config.service;
  RAYMESH_TRY(dialer.tls, load_mesh_tls(credentials.tls, net::TlsContext::Role::kMeshClient));
  const std::string role = config.role.empty() ? role_of_service(config.service) : config.role;
  dialer.identity = role + std::string(kIdentityDomain);
  if (!dialer.tls) dialer.cluster_key = credentials.cluster_key;
  const auto endpoints = config.endpoints;
  auto group = std::make_shared<PeerGroup>(std::move(config), std::move(dialer));
  std::make_shared<Discovery>(endpoints, group)->start();
  return std::shared_ptr<Peer>(std::move(group));
}

std::shared_ptr<Peer> in_process_peer(PeerConfig config, Server& server) {
  Dialer dialer;
  dialer.service = config.service;
  dialer.in_process = [&server] { return server.connect_in_process(); };
  auto group = std::make_shared<PeerGroup>(std::move(config), std::move(dialer));
  group->set_addresses({"in-process"});
  return group;
}

}  // namespace raymesh::rpc
