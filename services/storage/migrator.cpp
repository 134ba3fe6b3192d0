#include "services/storage/migrator.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "libs/pg/session.hpp"
#include "services/storage/sql_splitter.hpp"
#include "services/storage/statement_policy.hpp"

namespace raymesh::storage {
namespace {

using Clock = std::chrono::steady_clock;
using pg::Answer;
using pg::Session;

/// How long the server may take to end a backend that was told to.
constexpr const char* kTerminateMilliseconds = "5000";
constexpr int kEpochAttempts = 3;

constexpr const char* kLockProject =
    "SELECT FROM raymesh_storage.projects WHERE project_id = $1 FOR UPDATE";

constexpr const char* kRaiseEpoch =
    "INSERT INTO raymesh_storage.projects AS p (project_id, schema_epoch) VALUES ($1, 2)"
    " ON CONFLICT (project_id) DO UPDATE SET schema_epoch = p.schema_epoch + 1"
    " RETURNING schema_epoch";

constexpr const char* kOwnsSchema =
    "SELECT FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid = n.nspowner"
    " WHERE n.nspname = $1 AND r.rolname = $2";

/// SQLSTATE to what the client sees; everything else is the migration's own fault.
const ErrorKind& kind_of(const Answer& answer) {
  const std::string_view state = answer.sqlstate();
  if (state.empty()) return answer.timed_out() ? errors::kStatementTimeout : errors::kUnavailable;
  if (state == "40001" || state == "40P01") return errors::kSerializationFailure;
  if (state == "57014") return errors::kStatementTimeout;  // statement_timeout
  // The server cannot, whatever the migration says: a full disk, no memory, a shutdown, an I/O
  // error.
  const std::string_view category = state.substr(0, 2);
  if (category == "53" || category == "57" || category == "58") return errors::kUnavailable;
  return errors::kMigrationFailed;
}

Error failure(const Answer& answer, std::string_view what) {
  return Error(kind_of(answer), std::string(what) + ": " + answer.message());
}

Status check(const Answer& answer, std::string_view what) {
  if (answer.ok()) return ok_status();
  return failure(answer, what);
}

std::string place(size_t number, size_t line) {
  return "statement " + std::to_string(number) + ", line " + std::to_string(line);
}

Result<SqlScript> read_script(std::string_view sql, const MigrateOptions& options) {
  if (sql.empty()) return Error(errors::kSqlRequired, "sql is required");
  if (sql.size() > options.max_sql_bytes) {
    return Error(errors::kBodyTooLarge,
                 "the migration has more than " + std::to_string(options.max_sql_bytes) + " bytes");
  }
  RAYMESH_TRY(SqlScript script, split_sql(sql));
  if (script.statements.size() > options.max_statements) {
    return Error(
        errors::kInvalidRequest,
        "the migration has more than " + std::to_string(options.max_statements) + " statements");
  }
  for (size_t i = 0; i < script.statements.size(); ++i) {
    Status status = check_statement(script.statements[i]);
    if (status.ok()) continue;
    Error error = std::move(status).error();
    error.message = place(i + 1, script.statements[i].line) + ": " + error.message;
    return error;
  }
  return script;
}

/// One run, from connecting to the raised epoch.
class Run {
 public:
  Run(const MigrateRequest& request, const MigrateOptions& options)
      : request_(request), options_(options), deadline_(Clock::now() + options.deadline) {}

  Result<MigrateOutcome> execute(const SqlScript& script) {
    RAYMESH_CHECK_OK(lock_project());
    RAYMESH_TRY(Session project, connect());
    if (request_.idempotency) {
      RAYMESH_TRY(auto kept, kept_outcome(project));
      if (kept) return *std::move(kept);
    }
    Status applied = apply(project, script);
    if (!applied.ok()) {
      // What the script did is gone when we answer.
      const bool undone = project.is_ready() && project.query_until(grace(), "ROLLBACK").ok();
      if (!undone) terminate(project.backend_pid());
      return std::move(applied).error();
    }
    MigrateOutcome outcome;
    outcome.executed_statements = static_cast<uint32_t>(script.statements.size());
    outcome.warnings = warnings_ ? *std::move(warnings_) : warnings(project);
    RAYMESH_TRY(outcome.schema_epoch, raise_epoch());
    return outcome;
  }

 private:
  Clock::time_point grace() const { return Clock::now() + options_.grace; }

  Result<Session> connect_system() {
    return Session::connect(request_.system_url, {{"application_name", "raymesh-migrate"}});
  }

  Result<Session> connect() {
    return Session::connect(request_.server_url, {{"user", request_.role},
                                                  {"password", request_.password},
                                                  {"application_name", "raymesh-migrate"}});
  }

  /// Holds the project's row until the epoch is raised, so that two migrations do not interleave.
  Status lock_project() {
    RAYMESH_TRY(Session session, connect_system());
    system_.emplace(std::move(session));
    RAYMESH_CHECK_OK(check(system_->query_until(deadline_, "BEGIN"), "lock the project"));
    RAYMESH_CHECK_OK(check(system_->query_until(deadline_, kLockProject, {request_.project_id}),
                           "wait for another migration of the project"));
    return ok_status();
  }

  Status apply(Session& project, const SqlScript& script) {
    RAYMESH_CHECK_OK(begin(project));
    for (size_t i = 0; i < script.statements.size(); ++i) {
      const SqlStatement& statement = script.statements[i];
      const Answer answer = project.run_until(deadline_, std::string(statement.text));
      if (answer.ok()) continue;
      const size_t line = statement.line + line_of_character(statement.text, answer.position()) - 1;
      return failure(answer, place(i + 1, line));
    }
    RAYMESH_CHECK_OK(settle(project));
    if (request_.idempotency) RAYMESH_CHECK_OK(keep_outcome(project, script));
    return commit(project);
  }

  /// Of an earlier run with the same key. Nobody else migrates the project meanwhile.
  Result<std::optional<MigrateOutcome>> kept_outcome(Session& project) {
    const IdempotencyKey& key = request_.idempotency;
    const Answer kept =
        project.query_until(deadline_, std::string(kReadKeptSql), {key.user, key.key});
    RAYMESH_CHECK_OK(check(kept, "look for the idempotency key"));
    std::optional<MigrateOutcome> outcome;
    if (kept.rows() == 0) return outcome;
    outcome.emplace();
    if (kept.text(0, 0) != key.hash || kept.text(0, 1) != kMigrationForm || kept.is_null(0, 2) ||
        !read_migration_result(kept.text(0, 2), outcome->executed_statements, outcome->warnings))
      return key_conflict(key.key);
    // Perhaps the run that did it could not tell the nodes.
    RAYMESH_TRY(outcome->schema_epoch, raise_epoch());
    return outcome;
  }

  Status keep_outcome(Session& project, const SqlScript& script) {
    const IdempotencyKey& key = request_.idempotency;
    // Notices are taken once; those of COMMIT are not kept.
    warnings_ = warnings(project);
    const Answer kept = project.query_until(
        deadline_, std::string(kKeepMigrationSql),
        {key.user, key.key, key.hash, std::string(kMigrationForm),
         migration_result(static_cast<uint32_t>(script.statements.size()), *warnings_)});
    if (kept.sqlstate() == kKeyInUse) return key_conflict(key.key);
    return check(kept, "keep the result");
  }

  Status begin(Session& project) {
    const std::string deadline_ms = std::to_string(options_.deadline.count());
    const std::string lock_ms = std::to_string(options_.lock_timeout.count());
    for (const std::string& statement :
         {"SET search_path = " + project.identifier(request_.schema),
          "SET lock_timeout = " + lock_ms, "SET statement_timeout = " + deadline_ms,
          // Ends what is left of us on the server when this process dies.
          std::string("SET client_connection_check_interval = 1000"),
          std::string("SET standard_conforming_strings = on"),
          std::string("SET client_min_messages = notice"),
          std::string("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")}) {
      RAYMESH_CHECK_OK(check(project.run_until(deadline_, statement), "begin"));
    }
    return ok_status();
  }

  /// What the statements may have left for COMMIT or changed about their own role.
  Status settle(Session& project) {
    RAYMESH_CHECK_OK(check(project.run_until(deadline_, "SET CONSTRAINTS ALL IMMEDIATE"),
                           "deferred constraints"));
    // By full names and as text: the search path and the operators in it are the script's by now.
    RAYMESH_CHECK_OK(check(project.run_until(deadline_, "SET search_path = pg_catalog"), "settle"));
    const Answer schema =
        project.query_until(deadline_, kOwnsSchema, {request_.schema, request_.role});
    RAYMESH_CHECK_OK(check(schema, "look for the project's schema"));
    if (schema.rows() == 0) {
      return Error(errors::kForbiddenStatement,
                   "the migration removed or gave away the project's schema");
    }
    RAYMESH_TRY(const std::string verifier,
                project.scram_verifier(request_.role, request_.password));
    const Answer database = project.query_until(deadline_, "SELECT pg_catalog.current_database()");
    RAYMESH_CHECK_OK(check(database, "read the database's name"));
    const std::string in_database = project.identifier(database.text(0, 0));
    for (const std::string& what :
         {"PASSWORD " + project.literal(verifier), std::string("RESET ALL"),
          "IN DATABASE " + in_database + " RESET ALL"}) {
      RAYMESH_CHECK_OK(check(project.run_until(deadline_, "ALTER ROLE CURRENT_USER " + what),
                             "restore the role"));
    }
    return ok_status();
  }

  Status commit(Session& project) {
    const Answer xid =
        project.query_until(deadline_, "SELECT pg_catalog.pg_current_xact_id()::pg_catalog.text");
    RAYMESH_CHECK_OK(check(xid, "commit"));
    const std::string transaction(xid.text(0, 0));
    // Cutting a commit off would only make its outcome unknown.
    const Answer answer = project.query_until(std::max(deadline_, grace()), "COMMIT");
    if (answer.ok()) {
      if (answer.command_tag() == "COMMIT") return ok_status();
      return Error(errors::kMigrationFailed, "PostgreSQL rolled the migration back");
    }
    // The server said no and is there to say so: it has rolled back.
    if (!answer.sqlstate().empty() && project.is_ready()) return failure(answer, "commit");
    terminate(project.backend_pid());
    return ask_outcome(transaction, answer);
  }

  /// The connection broke at COMMIT: the server knows what became of the transaction.
  Status ask_outcome(const std::string& transaction, const Answer& lost) {
    Result<Session> session = connect();
    if (session.ok()) {
      const Answer status = session->query_until(
          grace(), "SELECT pg_catalog.pg_xact_status($1::pg_catalog.xid8)", {transaction});
      if (status.ok() && status.rows() == 1 && !status.is_null(0, 0)) {
        if (status.text(0, 0) == "committed") return ok_status();
        if (status.text(0, 0) == "aborted") {
          return Error(errors::kUnavailable,
                       "the connection broke while committing; nothing was changed");
        }
      }
    }
    return Error(errors::kOutcomeUnknown,
                 "the connection broke while committing the migration: " + lost.message());
  }

  void terminate(int backend) {
    Result<Session> session = connect();
    // Without a connection the server finds out by client_connection_check_interval.
    if (!session.ok()) return;
    (void)session->query_until(grace(),
                               "SELECT pg_catalog.pg_terminate_backend($1::int, $2::bigint)",
                               {std::to_string(backend), kTerminateMilliseconds});
  }

  Result<int64_t> raise_epoch() {
    for (int attempt = 1;; ++attempt) {
      if (system_) {
        const Answer raised = system_->query_until(grace(), kRaiseEpoch, {request_.project_id});
        if (raised.ok()) {
          const int64_t epoch = std::stoll(std::string(raised.text(0, 0)));
          if (system_->query_until(grace(), "COMMIT").ok()) return epoch;
        }
      }
      if (attempt == kEpochAttempts) break;
      system_.reset();
      Result<Session> session = connect_system();
      if (!session.ok() || !session->query_until(grace(), "BEGIN").ok()) continue;
      system_.emplace(std::move(session).value());
    }
    return Error(errors::kOutcomeUnknown,
                 "the migration is committed, but the storage nodes could not be told: their "
                 "caches of the schema may be stale until the next migration");
  }

  std::vector<std::string> warnings(Session& project) const {
    std::vector<std::string> out;
    size_t left_out = 0;
    for (pg::Notice& notice : project.take_notices()) {
      if (notice.severity != "NOTICE" && notice.severity != "WARNING") continue;
      if (out.size() < options_.max_warnings) {
        out.push_back(std::move(notice.message));
      } else {
        ++left_out;
      }
    }
    if (left_out > 0) out.push_back("and " + std::to_string(left_out) + " more");
    return out;
  }

  const MigrateRequest& request_;
  const MigrateOptions& options_;
  Clock::time_point deadline_;
  std::optional<Session> system_;
  std::optional<std::vector<std::string>> warnings_;
};

}  // namespace

Result<MigrateOutcome> migrate(const MigrateRequest& request, std::string_view sql,
                               const MigrateOptions& options) {
  RAYMESH_TRY(const SqlScript script, read_script(sql, options));
  if (script.statements.empty()) return MigrateOutcome{};
  return Run(request, options).execute(script);
}

}  // namespace raymesh::storage
