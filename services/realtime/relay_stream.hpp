// The `Relay` method: one gateway's stream over gRPC. Lives on its connection's thread, which is a
// shard's.
#pragma once

#include "libs/rpc/method_table.hpp"

namespace raymesh::realtime {

class RealtimeNode;

/// `node` outlives the server. Its shards' loops are the server's.
rpc::StreamMethod relay_method(RealtimeNode& node);

}  // namespace raymesh::realtime
