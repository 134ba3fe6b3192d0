// The services behind the gateway.
#pragma once

#include <memory>

#include "libs/rpc/peer.hpp"

namespace raymesh::gateway {

struct Peers {
  std::shared_ptr<rpc::Peer> auth;
  std::shared_ptr<rpc::Peer> storage;
  std::shared_ptr<rpc::Peer> cache;
  std::shared_ptr<rpc::Peer> realtime;
};

}  // namespace raymesh::gateway
