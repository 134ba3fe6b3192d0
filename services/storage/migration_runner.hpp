// Runs migrations beside the hot path: on the threads of a blocking pool, one at a time per
// project, and then drops what is cached about the project. Owned by the app; run() from any
// thread.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "libs/actor/blocking_pool.hpp"
#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "libs/rpc/call.hpp"
#include "services/storage/migrator.hpp"
#include "services/storage/probe.hpp"
#include "services/storage/table_catalog.hpp"

namespace raymesh::storage {

struct MigrationRunnerConfig {
  std::string server_url;
  std::string system_url;
  std::string project_role_secret;
  MigrateOptions options;
  size_t threads = 2;
  size_t max_queued = 32;
};

class MigrationRunner {
 public:
  using Done = UniqueFunction<void(Result<MigrateOutcome>)>;

  MigrationRunner(caf::actor_system& actors, MigrationRunnerConfig config, TableCatalog& catalog,
                  Probe& probe);

  /// `key`: of idempotency; empty: none. `done` runs on a thread of the pool, or inside the call
  /// when the migration is refused at once: overloaded (queue full, or another migration of the
  /// project runs on this node).
  void run(rpc::CallPtr call, std::string sql, std::string key, Done done);
  void stop(std::chrono::milliseconds grace);

 private:
  Result<MigrateOutcome> migrate_now(const rpc::Call& call, const std::string& sql,
                                     const std::string& key);

  const MigrationRunnerConfig config_;
  TableCatalog& catalog_;
  Probe& probe_;
  std::mutex mutex_;
  std::unordered_set<std::string> running_;  // projects; guarded by mutex_
  actor::BlockingPool pool_;                 // last: its threads use the members above
};

}  // namespace raymesh::storage
