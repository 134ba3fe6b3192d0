#include "services/storage/migration_runner.hpp"

#include <algorithm>
#include <utility>

#include "libs/pg/project_identity.hpp"
#include "libs/telemetry/log.hpp"

namespace raymesh::storage {
namespace {

constexpr std::chrono::milliseconds kRetryAfter{1'000};
// Of the call's deadline, kept for telling the caller.
constexpr std::chrono::milliseconds kAnswerTime{200};

// What the gateway keeps from the client, because it shows how the servers are built.
void log_failure(const rpc::Call& call, const Error& error) {
  if (error.http_status() < 500) return;
  const std::string trace = call.trace.trace_id_hex();
  log::error({.project = call.project, .trace_id = trace, .request_id = call.request_id},
             "a migration failed", {{"code", error.code()}, {"error", error.message}});
}

// One migration on its way through the pool, which may drop it unrun when it stops.
struct Task {
  rpc::CallPtr call;
  std::string sql;
  std::string key;
  MigrationRunner::Done done;

  Task(rpc::CallPtr c, std::string s, std::string k, MigrationRunner::Done d)
      : call(std::move(c)), sql(std::move(s)), key(std::move(k)), done(std::move(d)) {}
  ~Task() {
    if (done) done(Error(errors::kUnavailable, "the service is stopping", kRetryAfter));
  }
};

}  // namespace

MigrationRunner::MigrationRunner(caf::actor_system& actors, MigrationRunnerConfig config,
                                 TableCatalog& catalog, Probe& probe)
    : config_(std::move(config)),
      catalog_(catalog),
      probe_(probe),
      pool_(actors, "migrations", config_.threads, config_.max_queued) {}

void MigrationRunner::run(rpc::CallPtr call, std::string sql, std::string key, Done done) {
  const std::string project = call->project;
  if (!pg::is_valid_project_id(project)) {
    done(Error(errors::kInvalidRequest, "the call names no valid project"));
    return;
  }
  if (!key.empty()) {
    if (Status good = check_idempotency_key(key); !good.ok()) return done(std::move(good).error());
  }
  {
    // PostgreSQL would make the second one wait, and with it one of the few threads.
    std::lock_guard lock(mutex_);
    if (!running_.insert(project).second) {
      done(Error(errors::kOverloaded, "another migration of this project is running", kRetryAfter));
      return;
    }
  }
  auto task =
      std::make_shared<Task>(std::move(call), std::move(sql), std::move(key), std::move(done));
  const Status accepted = pool_.submit([this, task, project]() mutable {
    Result<MigrateOutcome> outcome = migrate_now(*task->call, task->sql, task->key);
    // Whatever its outcome is: it may be unknown.
    catalog_.invalidate(project);
    {
      std::lock_guard lock(mutex_);
      running_.erase(project);
    }
    probe_.migration_done(outcome.ok());
    if (!outcome.ok()) log_failure(*task->call, outcome.error());
    std::exchange(task->done, nullptr)(std::move(outcome));
  });
  if (accepted.ok()) return;
  {
    std::lock_guard lock(mutex_);
    running_.erase(project);
  }
  std::exchange(task->done, nullptr)(accepted.error());
}

Result<MigrateOutcome> MigrationRunner::migrate_now(const rpc::Call& call, const std::string& sql,
                                                    const std::string& key) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      call.deadline - rpc::Clock::now() - kAnswerTime);
  if (left.count() <= 0 || call.cancelled()) {
    return Error(errors::kDeadlineExceeded, "the migration waited too long for its turn");
  }
  RAYMESH_TRY(const pg::ProjectIdentity identity,
              pg::project_identity(call.project, config_.project_role_secret));
  MigrateRequest request;
  request.server_url = config_.server_url;
  request.role = identity.role;
  request.password = identity.password;
  request.schema = identity.schema;
  request.project_id = call.project;
  request.system_url = config_.system_url;
  if (!key.empty()) request.idempotency = {call.user, key, request_hash({"migrate", sql})};
  MigrateOptions options = config_.options;
  options.deadline = std::min(options.deadline, left);
  return migrate(request, sql, options);
}

void MigrationRunner::stop(std::chrono::milliseconds grace) {
  pool_.stop(grace);
}

}  // namespace raymesh::storage
