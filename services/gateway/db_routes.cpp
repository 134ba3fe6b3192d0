// POST /api/v1/db and /api/v1/db/migrate. The hot path of the gateway: what lies between `options`
// and storage, and between storage's rows and the client, is passed on byte for byte.
#include "libs/base/free_string.hpp"
#include "libs/base/json_writer.hpp"
#include "raymesh/storage/v1/storage.pb.h"
#include "services/gateway/core.hpp"
#include "services/gateway/exchange.hpp"
#include "services/gateway/request_body.hpp"
#include "services/gateway/routes.hpp"
#include "services/gateway/user_token.hpp"

namespace raymesh::gateway {
namespace {

bool is_read(std::string_view operation) {
  return operation == "find" || operation == "findMany" || operation == "findFirst" ||
         operation == "findOne" || operation == "count";
}

// The value of field 1 of a serialized QueryReply, as a view: a whole page of rows need not be
// copied just to be framed. nullopt when the message looks any different from what it always does.
std::optional<std::string_view> json_of_query_reply(std::string_view message) {
  constexpr char kField1Bytes = 1 << 3 | 2;  // protobuf encoding: field number, length-delimited
  if (message.empty() || message.front() != kField1Bytes) return std::nullopt;
  uint64_t length = 0;
  size_t i = 1;
  for (int shift = 0;; shift += 7, ++i) {
    if (i >= message.size() || shift > 35) return std::nullopt;
    const auto byte = static_cast<uint8_t>(message[i]);
    length |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) break;
  }
  message.remove_prefix(i + 1);
  if (message.size() != length) return std::nullopt;
  return message;
}

void on_query(Exchange& ex, Result<std::string> result) {
  if (!result.ok()) return ex.fail(result.error());
  if (const auto json = json_of_query_reply(*result))
    return ex.reply_around("{\"data\":", std::move(*result), *json, "}");
  storage::v1::QueryReply reply;
  if (!ex.take(result, reply)) return;
  std::string json = std::move(*reply.mutable_json());
  const std::string_view view = json;
  ex.reply_around("{\"data\":", std::move(json), view, "}");
}

// `note` is the serialized QueryRequest. A key is the user's, so it has to be known who that is;
// and with a key a write may be sent again, because storage knows it.
void query_with_key(Exchange& ex) {
  ex.call(*ex.core().peers.storage, "Query", std::move(ex.note), ex.options(rpc::Repeat::kSafe),
          on_query);
}

void query(Exchange& ex) {
  auto body = read_db_body(ex.body(), ex.operation());
  if (!body.ok()) return ex.fail(body.error());
  thread_local storage::v1::QueryRequest request;
  const bool read = is_read(body->operation);
  request.set_operation(std::move(body->operation));
  request.set_table(std::move(body->table));
  request.set_options(body->options.data(), body->options.size());
  const std::string_view key = ex.idempotency_key();
  request.set_idempotency_key(key.data(), key.size());
  if (key.empty()) {
    ex.call(*ex.core().peers.storage, "Query", request.SerializeAsString(),
            ex.options(read ? rpc::Repeat::kSafe : rpc::Repeat::kNever), on_query);
  } else {
    ex.note = request.SerializeAsString();
    with_user(ex, query_with_key);
  }
  // A large body's memory is not kept for the thread's next request.
  if (body->options.size() > kSmallBody) free_string(*request.mutable_options());
}

void on_migrate(Exchange& ex, Result<std::string> result) {
  storage::v1::MigrateReply reply;
  if (!ex.take(result, reply)) return;
  std::string out;
  json::Object o(out);
  o.boolean("success", true);
  o.integer("executedStatements", reply.executed_statements());
  o.key("warnings") += '[';
  for (int i = 0; i < reply.warnings_size(); ++i) {
    if (i > 0) out += ',';
    json::append_string(out, reply.warnings(i));
  }
  out += ']';
  o.end();
  ex.reply(200, out);
}

// `note` is the serialized MigrateRequest.
void run_migration(Exchange& ex) {
  ex.call(*ex.core().peers.storage, "Migrate", std::move(ex.note),
          ex.options(rpc::Repeat::kNever, ex.core().config.migration_timeout), on_migrate);
}

void migrate(Exchange& ex) {
  Member members[] = {{"sql"}};
  if (auto read = read_members(ex.body(), members); !read.ok()) return ex.fail(read.error());
  auto sql = text_of(members[0]);
  if (!sql || sql->empty()) return ex.fail(Error(errors::kSqlRequired, "sql is required"));
  storage::v1::MigrateRequest request;
  request.set_sql(std::move(*sql));
  const std::string_view key = ex.idempotency_key();
  request.set_idempotency_key(key.data(), key.size());
  ex.note = request.SerializeAsString();
  key.empty() ? run_migration(ex) : with_user(ex, run_migration);
}

}  // namespace

std::span<const Route> db_routes() {
  static const Route kRoutes[] = {
      {.name = "db",
       .method = "POST",
       .path = "/api/v1/db",
       .body = BodyLimit::kDefault,
       .keeps_key = true,
       .handle = query},
      {.name = "db_migrate",
       .method = "POST",
       .path = "/api/v1/db/migrate",
       .body = BodyLimit::kMigration,
       .capability = "migrate",
       .keeps_key = true,
       .handle = migrate},
  };
  return kRoutes;
}

}  // namespace raymesh::gateway
