// The gRPC face of the storage service: maps its messages to the executor and the migrations, and
// back. Handlers run on gRPC threads and hand over at once.
#pragma once

#include "libs/rpc/server.hpp"
#include "raymesh/storage/v1/storage.grpc.pb.h"

namespace raymesh::storage {

class QueryExecutor;
class MigrationRunner;

class StorageService final : public rpc::CallsService<v1::Storage> {
 public:
  using CallsService::CallsService;

  grpc::ServerUnaryReactor* Query(grpc::CallbackServerContext* context,
                                  const v1::QueryRequest* request, v1::QueryReply* reply) override;
  grpc::ServerUnaryReactor* Migrate(grpc::CallbackServerContext* context,
                                    const v1::MigrateRequest* request,
                                    v1::MigrateReply* reply) override;
};

/// The methods, for both doors. Both arguments outlive the server.
rpc::MethodTable storage_methods(QueryExecutor& executor, MigrationRunner& migrations);

}  // namespace raymesh::storage
