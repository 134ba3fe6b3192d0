// One operation of the database API from request to answer: table information, SQL, pool, JSON.
// Owned by the app; run() may be called from any thread and never blocks. SQL is built on the
// caller's thread, rows become JSON on the I/O thread of the pools, where the answer is given too.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "libs/rpc/call.hpp"
#include "services/storage/pg_access.hpp"
#include "services/storage/query_builder.hpp"
#include "services/storage/table_catalog.hpp"

namespace raymesh::storage {

class Probe;

/// One request; `answer` gets the JSON of `data`.
struct Query {
  rpc::CallPtr call;
  std::string operation;
  std::string table;
  std::string options;          // JSON
  std::string idempotency_key;  // empty: none
  UniqueFunction<void(Result<std::string>)> answer;
};

class QueryExecutor {
 public:
  /// `max_reply_bytes` bounds the JSON of one answer; above it: result_too_large.
  QueryExecutor(PgAccess& access, TableCatalog& catalog, Probe& probe, size_t max_reply_bytes);

  void run(Query query);

 private:
  class Job;
  using JobPtr = std::unique_ptr<Job>;

  void begin(JobPtr job);
  void start(JobPtr job);
  class KeptSink;
  void look_for_kept(JobPtr job, std::optional<Error> refusal);
  void sweep_kept();
  void with_table(JobPtr job, Result<TablePtr> table);
  void run_again(JobPtr job, bool drop_statements);
  void log_refusal(const rpc::Call& call, const pg::ServerError& error, const Error& told);

  PgAccess& access_;
  TableCatalog& catalog_;
  Probe& probe_;
  const size_t max_reply_bytes_;
  std::atomic<pg::Clock::rep> next_log_{0};
  std::atomic<pg::Clock::rep> next_sweep_{0};
};

}  // namespace raymesh::storage
