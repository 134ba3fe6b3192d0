#include "services/storage/storage_service.hpp"

#include <utility>

#include "services/storage/migration_runner.hpp"
#include "services/storage/query_executor.hpp"

namespace raymesh::storage {
namespace {

using rpc::CallPtr;
using rpc::Responder;

void query(QueryExecutor& executor, CallPtr call, v1::QueryRequest request,
           Responder<v1::QueryReply> respond) {
  executor.run({std::move(call), std::move(*request.mutable_operation()),
                std::move(*request.mutable_table()), std::move(*request.mutable_options()),
                std::move(*request.mutable_idempotency_key()),
                [respond = std::move(respond)](Result<std::string> json) mutable {
                  if (!json.ok()) return respond(std::move(json).error());
                  v1::QueryReply reply;
                  reply.set_json(std::move(*json));
                  respond(std::move(reply));
                }});
}

void migrate(MigrationRunner& migrations, CallPtr call, v1::MigrateRequest request,
             Responder<v1::MigrateReply> respond) {
  migrations.run(std::move(call), std::move(*request.mutable_sql()),
                 std::move(*request.mutable_idempotency_key()),
                 [respond = std::move(respond)](Result<MigrateOutcome> outcome) mutable {
                   if (!outcome.ok()) return respond(std::move(outcome).error());
                   v1::MigrateReply reply;
                   reply.set_executed_statements(outcome->executed_statements);
                   for (std::string& warning : outcome->warnings) {
                     reply.add_warnings(std::move(warning));
                   }
                   respond(std::move(reply));
                 });
}

}  // namespace

rpc::MethodTable storage_methods(QueryExecutor& executor, MigrationRunner& migrations) {
  constexpr uint8_t kAnyClient = rpc::kCallerGateway | rpc::kCallerToken;
  rpc::MethodTable methods;
  methods.add<v1::QueryRequest, v1::QueryReply>(
      "Query", kAnyClient,
      [&executor](CallPtr call, v1::QueryRequest request, Responder<v1::QueryReply> respond) {
        query(executor, std::move(call), std::move(request), std::move(respond));
      });
  methods.add<v1::MigrateRequest, v1::MigrateReply>(
      "Migrate", kAnyClient,
      [&migrations](CallPtr call, v1::MigrateRequest request, Responder<v1::MigrateReply> respond) {
        migrate(migrations, std::move(call), std::move(request), std::move(respond));
      });
  return methods;
}

}  // namespace raymesh::storage
