// The gRPC face of the realtime service: Mint, Publish and Presence for the gateway and for
// programs with a service token. Handlers run on the server's I/O threads and hand over at once.
#pragma once

#include <string>

#include "libs/rpc/method_table.hpp"
#include "raymesh/realtime/v1/realtime.pb.h"

namespace raymesh::realtime {

class RealtimeNode;
class RealtimeTokens;

/// The methods, for both doors. `node` and `tokens` outlive the server. `public_url` is what Mint
/// answers as the address to connect to.
rpc::MethodTable realtime_methods(RealtimeNode& node, const RealtimeTokens& tokens,
                                  std::string public_url, v1::NodeReply self);

}  // namespace raymesh::realtime
