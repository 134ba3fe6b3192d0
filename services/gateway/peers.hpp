// The services behind the gateway.
#pragma once

#include <memory>

#include "libs/rpc/peer.hpp"

namespace raymesh::rpc {
class Server;
}

namespace raymesh::gateway {

struct Peers {
  std::shared_ptr<rpc::Peer> auth;
  std::shared_ptr<rpc::Peer> storage;
  std::shared_ptr<rpc::Peer> cache;
  std::shared_ptr<rpc::Peer> realtime;
};

/// The same in this process, for `raymesh dev`. They outlive the gateway.
struct LocalServices {
  rpc::Server* auth = nullptr;
  rpc::Server* storage = nullptr;
  rpc::Server* cache = nullptr;
  rpc::Server* realtime = nullptr;
};

}  // namespace raymesh::gateway
