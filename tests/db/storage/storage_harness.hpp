// The storage service without its gRPC door, on a real PostgreSQL: system schema, projects, pools,
// catalog and executor, as the app wires them.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "libs/telemetry/metrics.hpp"
#include "services/storage/pg_access.hpp"
#include "services/storage/probe.hpp"
#include "services/storage/query_executor.hpp"
#include "services/storage/table_catalog.hpp"
#include "tests/support/postgres_fixture.hpp"

namespace raymesh::testing {

inline constexpr const char* kRoleSecret = "a secret of the tests only, 32 bytes";
inline constexpr const char* kSystemPassword = "system";

/// A project of its own, made on the shared server.
struct TestProject {
  std::string id;
  std::string schema;

  static TestProject create(const std::string& id);
  /// Runs SQL as the project's role, in its schema; throws on errors.
  void execute(const std::string& sql) const;
  /// As storage does after a migration, on whatever node.
  void raise_epoch() const;
};

struct HarnessOptions {
  pg::ProjectPoolsConfig pools;
  storage::CatalogLimits catalog;
  pg::SessionLimits session;
  size_t max_reply_bytes = 1u << 20;
};

class StorageHarness {
 public:
  explicit StorageHarness(HarnessOptions options = {});
  ~StorageHarness();

  std::future<Result<std::string>> submit(const TestProject& project, std::string operation,
                                          std::string table, std::string options = "{}",
                                          std::string key = {}, std::string user = {});
  Result<std::string> run(const TestProject& project, std::string operation, std::string table,
                          std::string options = "{}") {
    return submit(project, std::move(operation), std::move(table), std::move(options)).get();
  }
  /// The answer, or "<code>: <message>".
  std::string text(const TestProject& project, std::string operation, std::string table,
                   std::string options = "{}");
  /// The answer's code, or "ok".
  std::string code(const TestProject& project, std::string operation, std::string table,
                   std::string options = "{}");
  /// The value of one metric, its labels in the name as Prometheus shows them.
  double metric(const std::string& name) const;

  storage::TableCatalog& catalog() { return *catalog_; }
  storage::QueryExecutor& executor() { return *executor_; }

 private:
  std::shared_ptr<metrics::Registry> registry_ = metrics::Registry::create();
  storage::Probe probe_{*registry_};
  std::unique_ptr<storage::PgAccess> access_;
  std::unique_ptr<storage::TableCatalog> catalog_;
  std::unique_ptr<storage::QueryExecutor> executor_;
};

}  // namespace raymesh::testing
