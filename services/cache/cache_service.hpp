// The gRPC face of the cache service: maps its messages to Entries, Leases and Sessions and back.
// Handlers run on the server's I/O threads and hand over at once.
#pragma once

#include "libs/rpc/method_table.hpp"
#include "raymesh/cache/v1/cache.pb.h"

namespace raymesh::cache {

class Entries;
class Leases;
class Sessions;

/// The methods, for both doors. What it is given outlives the server.
rpc::MethodTable cache_methods(Entries& entries, Leases& leases, Sessions& sessions);

}  // namespace raymesh::cache
