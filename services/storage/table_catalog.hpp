// What the nodes of a cluster know about the projects' tables: column names and types, read from
// PostgreSQL's catalog as the project's own role, kept until the project's schema epoch changes.
// The epochs of all cached projects are read with one query, at most once per second, and only
// while there is traffic. Owned by the app; thread-safe; callbacks run on an I/O thread of PgAccess
// or, when nothing has to be read, inside the call.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "libs/base/lru_cache.hpp"
#include "libs/base/result.hpp"
#include "libs/base/unique_function.hpp"
#include "services/storage/pg_access.hpp"
#include "services/storage/table_info.hpp"

namespace raymesh::storage {

struct CatalogTable {
  TableInfo info;
  /// Statements may run code that the project wrote (views, triggers, defaults, checks): see
  /// pg::Request::runs_foreign_code. Worked out carefully: true when in doubt.
  bool reads_run_code = true;
  bool writes_run_code = true;
};
using TablePtr = std::shared_ptr<const CatalogTable>;

struct CatalogLimits {
  size_t max_projects = 1'024;
  size_t max_tables_per_project = 256;
  /// How often epochs are read while there is traffic.
  std::chrono::milliseconds poll_interval{1'000};
  /// Older knowledge than this is not used before the epochs have been read again.
  std::chrono::milliseconds max_unverified{2'000};
};

class TableCatalog {
 public:
  using Done = UniqueFunction<void(Result<TablePtr>)>;

  struct Events {
    virtual ~Events() = default;
    virtual void table_loaded() {}
    virtual void epochs_polled(bool) {}
    virtual void epoch_changed() {}
  };

  TableCatalog(PgAccess& access, const CatalogLimits& limits, Events& events);
  ~TableCatalog();

  /// The table, when it is cached and known to be current; else nullptr.
  TablePtr find(const std::string& project, const std::string& table);
  /// The table, from the cache or from PostgreSQL. Errors: unknown_table and what the pools answer.
  void load(const std::string& project, const std::string& table, Done done);
  /// Reads the table again, whatever is cached.
  void reload(const std::string& project, const std::string& table, Done done);
  /// A migration of the project has run here: everything cached about it goes.
  void invalidate(const std::string& project);
  /// Whether the last reading of the epochs worked, for readiness. Begins another one when it is
  /// time, so that a node which nobody asks, because it is not ready, finds out when it is again.
  Status check();

 private:
  using Clock = std::chrono::steady_clock;
  using Epochs = std::unordered_map<std::string, int64_t>;
  struct Project;
  class ReadSink;
  class PollSink;

  Project& project_locked(const std::string& project);
  TablePtr cached_locked(const std::string& project, const std::string& table);
  bool is_verified_locked() const { return Clock::now() - verified_at_ <= limits_.max_unverified; }
  /// A request that reads the epochs, when it is time for one.
  pg::RequestPtr begin_poll_locked();
  void submit_poll(pg::RequestPtr poll);
  void end_poll(Result<Epochs> epochs);
  void read(const std::string& project, const std::string& table, Done done);
  void end_read(const std::string& project, const std::string& table, uint64_t generation,
                Result<TablePtr> result);

  PgAccess& access_;
  const CatalogLimits limits_;
  Events& events_;

  mutable std::mutex mutex_;  // guards everything below
  std::unordered_map<std::string, std::unique_ptr<Project>> projects_;
  Clock::time_point poll_started_{};
  Clock::time_point verified_at_{};  // no newer than the start of the last poll that worked
  bool is_polling_ = false;
  Status last_poll_ = Error(errors::kUnavailable, "PostgreSQL has not answered yet");
  uint64_t generation_ =
      0;  // raised by invalidate: what a read that began before finds is not kept
  std::vector<UniqueFunction<void()>> after_poll_;
  std::unordered_map<std::string, std::vector<Done>> reading_;  // by project, NUL, table
};

}  // namespace raymesh::storage
