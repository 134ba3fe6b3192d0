// The gRPC face of the realtime service: Mint, Publish and Presence for the gateway and for
// programs with a service token. Handlers run on gRPC threads and hand over at once.
#pragma once

#include <string>

#include "libs/rpc/server.hpp"
#include "raymesh/realtime/v1/realtime.grpc.pb.h"

namespace raymesh::realtime {

class RealtimeNode;
class RealtimeTokens;

class RealtimeService final : public rpc::CallsService<v1::Realtime> {
 public:
  using CallsService::CallsService;

  grpc::ServerUnaryReactor* Mint(grpc::CallbackServerContext* context,
                                 const v1::MintRequest* request, v1::MintReply* reply) override;
  grpc::ServerUnaryReactor* Publish(grpc::CallbackServerContext* context,
                                    const v1::PublishRequest* request,
                                    v1::PublishReply* reply) override;
  grpc::ServerUnaryReactor* Presence(grpc::CallbackServerContext* context,
                                     const v1::PresenceRequest* request,
                                     v1::PresenceReply* reply) override;
};

/// The methods, for both doors. `node` and `tokens` outlive the server. `public_url` is what Mint
/// answers as the address to connect to.
rpc::MethodTable realtime_methods(RealtimeNode& node, const RealtimeTokens& tokens,
                                  std::string public_url);

}  // namespace raymesh::realtime
