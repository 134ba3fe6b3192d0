// The gRPC face of the cache service: maps its messages to Entries and Leases and back. Handlers
// run on the server's I/O threads and hand over at once.
#pragma once

#include "libs/rpc/method_table.hpp"
#include "raymesh/cache/v1/cache.pb.h"

namespace raymesh::cache {

class Entries;
class Leases;

/// The methods, for both doors. `entries` and `leases` outlive the server.
rpc::MethodTable cache_methods(Entries& entries, Leases& leases);

}  // namespace raymesh::cache
