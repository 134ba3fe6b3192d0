#include "libs/rpc/peer.hpp"

#include <grpcpp/create_channel.h>

#include "libs/rpc/channel_arguments.hpp"
#include "libs/rpc/credentials.hpp"
#include "libs/rpc/discovery.hpp"
#include "libs/rpc/grpc_log.hpp"
#include "libs/rpc/peer_core.hpp"

namespace raymesh::rpc {
namespace {

/// What a user holds: closes the core when it goes.
class PeerHandle final : public Peer {
 public:
  explicit PeerHandle(std::shared_ptr<PeerCore> core) : core_(std::move(core)) {}
  ~PeerHandle() override { core_->close(); }

  uint64_t call(std::string_view method, const common::v1::CallContext& context,
                std::string payload, const CallOptions& options, Done done) override {
    return core_->call(method, context, std::move(payload), options, std::move(done));
  }
  void cancel(uint64_t ticket) override { core_->cancel(ticket); }
  bool ready() const override { return core_->ready(); }
  void shutdown() override { core_->shutdown(); }

 private:
  const std::shared_ptr<PeerCore> core_;
};

}  // namespace

Result<std::shared_ptr<Peer>> connect_peer(PeerConfig config,
                                           const ClientCredentials& credentials) {
  if (config.endpoints.empty())
    return Error(errors::kInvalidValue, config.service + ": no endpoints are configured");
  for (const auto& endpoint : config.endpoints) {
    RAYMESH_CHECK_OK(Discovery::check(endpoint));
    RAYMESH_CHECK_OK(check_endpoint(endpoint, credentials));
  }
  route_grpc_log();
  RAYMESH_TRY(auto grpc_credentials, grpc_channel_credentials(credentials.tls));
  const std::string role = config.role.empty() ? role_of_service(config.service) : config.role;
  const std::string identity = role + std::string(kIdentityDomain);
  auto make_channel = [grpc_credentials, identity,
                       tls = !credentials.tls.empty()](const std::string& address) {
    grpc::ChannelArguments arguments;
    set_channel_arguments(arguments);
    if (tls) arguments.SetSslTargetNameOverride(identity);
    return grpc::CreateCustomChannel(address, grpc_credentials, arguments);
  };
  const auto endpoints = config.endpoints;
  auto core = std::make_shared<PeerCore>(std::move(config),
                                         credentials.tls.empty() ? credentials.cluster_key : "",
                                         std::move(make_channel));
  std::make_shared<Discovery>(endpoints, core)->start();
  return std::shared_ptr<Peer>(std::make_shared<PeerHandle>(std::move(core)));
}

std::shared_ptr<Peer> in_process_peer(PeerConfig config, std::shared_ptr<grpc::Channel> channel) {
  auto core = std::make_shared<PeerCore>(std::move(config), "",
                                         [channel](const std::string&) { return channel; });
  core->set_addresses({"in-process"});
  return std::make_shared<PeerHandle>(std::move(core));
}

}  // namespace raymesh::rpc
