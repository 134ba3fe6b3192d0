// The gRPC face of the storage service: maps its messages to the executor and the migrations, and
// back. Handlers run on the server's I/O threads and hand over at once.
#pragma once

#include "libs/rpc/method_table.hpp"
#include "raymesh/storage/v1/storage.pb.h"

namespace raymesh::storage {

class QueryExecutor;
class MigrationRunner;

/// The methods, for both doors. Both arguments outlive the server.
rpc::MethodTable storage_methods(QueryExecutor& executor, MigrationRunner& migrations);

}  // namespace raymesh::storage
