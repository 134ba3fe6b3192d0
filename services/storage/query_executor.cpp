#include "services/storage/query_executor.hpp"

#include "libs/base/json_writer.hpp"
#include "libs/pg/project_identity.hpp"
#include "libs/telemetry/log.hpp"
#include "services/storage/idempotency.hpp"
#include "services/storage/identifiers.hpp"
#include "services/storage/pg_errors.hpp"
#include "services/storage/probe.hpp"
#include "services/storage/result_json.hpp"

namespace raymesh::storage {
namespace {

constexpr size_t kUsualReply = 512;
constexpr std::chrono::seconds kOutageLogInterval{1};
// A thousand kept results each time.
constexpr std::chrono::seconds kSweepInterval{10};

pg::Parameters encode(const std::vector<Parameter>& parameters) {
  pg::Parameters out;
  size_t bytes = 0;
  for (const Parameter& p : parameters) bytes += p.text ? p.text->size() : 0;
  out.reserve(parameters.size(), bytes);
  for (const Parameter& p : parameters) out.add(p.type_oid, p.text);
  return out;
}

}  // namespace

/// A query on its way, and the sink of its statement. Answers exactly once.
class QueryExecutor::Job final : public pg::AnswerSink {
 public:
  Job(QueryExecutor& executor, Query query)
      : executor_(executor), query_(std::move(query)), started_(pg::Clock::now()) {}
  ~Job() override {
    if (query_.answer) answer(Error(errors::kUnavailable, "the service is stopping"));
  }

  void answer(Result<std::string> result) {
    executor_.probe_.query_done(operation_, result.ok() ? nullptr : result.error().kind,
                                pg::Clock::now() - started_);
    auto send = std::move(query_.answer);
    send(std::move(result));
  }

  void begin(const pg::ResultColumns& columns) override {
    if (!columns.plan && !columns.columns.empty()) {
      columns.plan = std::make_shared<const RowPlan>(make_row_plan(columns.columns, table_->info));
    }
    plan_ = static_cast<const RowPlan*>(columns.plan.get());
    json_.clear();
    rows_ = 0;
    is_too_large_ = false;
  }

  bool row(std::span<const pg::Field> fields) override {
    switch (shape_) {
      case ResultShape::kRows:
        if (rows_ == 0) json_.reserve(kUsualReply);
        json_ += rows_ == 0 ? '[' : ',';
        append_row(json_, *plan_, fields);
        break;
      case ResultShape::kFirstRow:
        if (rows_ > 0) return false;
        json_.reserve(kUsualReply);
        append_row(json_, *plan_, fields);
        break;
      case ResultShape::kInsertedId:
        if (rows_ > 0) return false;
        append_inserted(fields);
        break;
      case ResultShape::kCountValue:
        append_value(json_, plan_->columns[0], fields[0]);
        break;
      case ResultShape::kCountObject:
        json_ += "{\"count\":";
        append_value(json_, plan_->columns[0], fields[0]);
        json_ += '}';
        break;
      case ResultShape::kAffectedCount:
        return false;
    }
    ++rows_;
    if (json_.size() > executor_.max_reply_bytes_) is_too_large_ = true;
    return !is_too_large_;
  }

  void oversized_row() override { is_too_large_ = true; }

  void done(pg::Outcome outcome) override {
    switch (outcome.kind) {
      case pg::Outcome::Kind::kFailed:
        answer(std::move(outcome.error));
        return;
      case pg::Outcome::Kind::kRefused:
        refused(*outcome.server_error);
        return;
      case pg::Outcome::Kind::kDone:
        finished(outcome.affected_rows);
        return;
    }
  }

  /// Answers as the first request with the key was.
  void repeat(const KeptResult& kept) {
    pg::ResultColumns columns;
    columns.columns = kept.columns;
    shape_ = kept.shape;
    begin(columns);
    if (kept.has_row) {
      std::vector<pg::Field> fields;
      for (const auto& value : kept.values)
        fields.push_back(value ? pg::Field{value->data(), value->size()} : pg::Field{});
      row(fields);
    }
    finished(0);
  }

  /// The Request owns this job as its sink; whoever goes on with the query needs a fresh one.
  JobPtr take_over() {
    auto next = std::make_unique<Job>(executor_, std::move(query_));
    next->started_ = started_;
    next->operation_ = operation_;
    next->table_ = table_;
    next->attempts_ = attempts_ + 1;
    next->key_ = std::move(key_);
    return next;
  }

  QueryExecutor& executor_;
  Query query_;
  pg::Clock::time_point started_;
  Operation operation_ = Operation::kFind;
  ResultShape shape_ = ResultShape::kRows;
  TablePtr table_;
  IdempotencyKey key_;
  int attempts_ = 0;

 private:
  void append_inserted(std::span<const pg::Field> fields) {
    json_ += "{\"id\":";
    const int id = plan_->id_column;
    if (id >= 0 && !fields[static_cast<size_t>(id)].is_null()) {
      append_value(json_, plan_->columns[static_cast<size_t>(id)], fields[static_cast<size_t>(id)]);
    } else {
      append_row(json_, *plan_, fields);
    }
    json_ += '}';
  }

  void refused(const pg::ServerError& error) {
    if (attempts_ == 0 && may_be_outdated(error.sqlstate)) {
      executor_.run_again(take_over(), /*drop_statements=*/true);
      return;
    }
    Error told = key_ && error.sqlstate == kKeyInUse ? key_conflict(key_.key) : to_error(error);
    executor_.log_refusal(*query_.call, error, told);
    // Perhaps the same request was done by somebody else in the meantime.
    if (key_) return executor_.look_for_kept(take_over(), std::move(told));
    answer(std::move(told));
  }

  void finished(uint64_t affected_rows) {
    // Of a write it must be told that it happened, not that its answer is long.
    if (is_too_large_ && !is_write(operation_)) {
      answer(Error(errors::kResultTooLarge, "the result is above " +
                                                std::to_string(executor_.max_reply_bytes_ >> 20) +
                                                " MiB; ask for fewer " + "rows or columns"));
      return;
    }
    switch (shape_) {
      case ResultShape::kRows:
        json_ += rows_ == 0 ? "[]" : "]";
        break;
      case ResultShape::kFirstRow:
        if (rows_ == 0) json_ = "null";
        break;
      case ResultShape::kAffectedCount:
        json_ = "{\"count\":";
        json::append_uint(json_, affected_rows);
        json_ += '}';
        break;
      case ResultShape::kInsertedId:
        // A rule or a trigger that returns NULL: no row was inserted.
        if (rows_ == 0 || is_too_large_) json_ = "{\"id\":null}";
        break;
      case ResultShape::kCountValue:
      case ResultShape::kCountObject:
        break;
    }
    if (key_) executor_.sweep_kept();
    answer(std::move(json_));
  }

  const RowPlan* plan_ = nullptr;
  std::string json_;
  size_t rows_ = 0;
  bool is_too_large_ = false;
};

QueryExecutor::QueryExecutor(PgAccess& access, TableCatalog& catalog, Probe& probe,
                             size_t max_reply_bytes)
    : access_(access), catalog_(catalog), probe_(probe), max_reply_bytes_(max_reply_bytes) {}

void QueryExecutor::run(Query query) {
  auto job = std::make_unique<Job>(*this, std::move(query));
  const Query& q = job->query_;
  if (q.call->cancelled()) {
    job->answer(Error(errors::kCancelled, "the caller went away"));
    return;
  }
  if (!pg::is_valid_project_id(q.call->project)) {
    job->answer(Error(errors::kInvalidRequest, "the call names no valid project"));
    return;
  }
  Result<Operation> operation = parse_operation(q.operation);
  if (!operation.ok()) {
    job->answer(std::move(operation).error());
    return;
  }
  job->operation_ = *operation;
  if (Status ok = check_identifier(q.table, "table"); !ok.ok()) {
    job->answer(std::move(ok).error());
    return;
  }
  if (!q.idempotency_key.empty()) {
    if (Status ok = check_idempotency_key(q.idempotency_key); !ok.ok()) {
      job->answer(std::move(ok).error());
      return;
    }
    // A read may be repeated as it is.
    if (is_write(*operation))
      job->key_ = {q.call->user, q.idempotency_key,
                   request_hash({q.operation, q.table, q.options})};
  }
  job->table_ = catalog_.find(q.call->project, q.table);
  if (job->table_) {
    begin(std::move(job));
    return;
  }
  // Copies, because the job moves into the callback.
  const std::string project = q.call->project;
  const std::string table = q.table;
  catalog_.load(project, table, [this, job = std::move(job)](Result<TablePtr> found) mutable {
    with_table(std::move(job), std::move(found));
  });
}

void QueryExecutor::with_table(JobPtr job, Result<TablePtr> table) {
  if (!table.ok()) {
    job->answer(std::move(table).error());
    return;
  }
  job->table_ = std::move(*table);
  begin(std::move(job));
}

void QueryExecutor::begin(JobPtr job) {
  if (job->key_ && job->attempts_ == 0) return look_for_kept(std::move(job), std::nullopt);
  start(std::move(job));
}

/// Takes the row of kReadKeptSql, and goes on with the job.
class QueryExecutor::KeptSink final : public pg::AnswerSink {
 public:
  KeptSink(QueryExecutor& executor, JobPtr job, std::optional<Error> refusal)
      : executor_(executor), job_(std::move(job)), refusal_(std::move(refusal)) {}

  void begin(const pg::ResultColumns&) override { found_ = false; }
  bool row(std::span<const pg::Field> fields) override {
    found_ = true;
    std::optional<std::string_view> result;
    if (!fields[2].is_null()) result = fields[2].text();
    kept_ = read_kept(fields[0].text(), fields[1].text(), result);
    return true;
  }
  void oversized_row() override { found_ = true; }

  void done(pg::Outcome outcome) override {
    switch (outcome.kind) {
      case pg::Outcome::Kind::kFailed:
        job_->answer(std::move(outcome.error));
        return;
      case pg::Outcome::Kind::kRefused: {
        Error told = to_error(*outcome.server_error);
        executor_.log_refusal(*job_->query_.call, *outcome.server_error, told);
        job_->answer(std::move(told));
        return;
      }
      case pg::Outcome::Kind::kDone:
        break;
    }
    if (!found_) {
      if (refusal_) return job_->answer(*std::move(refusal_));
      return executor_.start(std::move(job_));
    }
    if (!kept_)
      return job_->answer(Error(errors::kInternal, "a kept result of a newer raymesh, or none"));
    if (kept_->hash != job_->key_.hash) return job_->answer(key_conflict(job_->key_.key));
    job_->repeat(*kept_);
  }

 private:
  QueryExecutor& executor_;
  JobPtr job_;
  std::optional<Error> refusal_;
  bool found_ = false;
  std::optional<KeptResult> kept_;
};

/// `refusal`: what the write was answered with, if it was sent.
void QueryExecutor::look_for_kept(JobPtr job, std::optional<Error> refusal) {
  pg::Parameters parameters = read_kept_parameters(job->key_);
  const std::string project = job->query_.call->project;
  const auto deadline = job->query_.call->deadline;
  auto request = std::make_unique<pg::Request>(
      kReadKeptSql, std::move(parameters),
      std::make_unique<KeptSink>(*this, std::move(job), std::move(refusal)));
  request->deadline = deadline;
  access_.submit(project, std::move(request));
}

namespace {

class NoSink final : public pg::AnswerSink {
  void begin(const pg::ResultColumns&) override {}
  bool row(std::span<const pg::Field>) override { return false; }
  void oversized_row() override {}
  void done(pg::Outcome) override {}
};

}  // namespace

void QueryExecutor::sweep_kept() {
  const auto now = pg::Clock::now().time_since_epoch();
  auto next = next_sweep_.load(std::memory_order_relaxed);
  const auto then = now + std::chrono::duration_cast<pg::Clock::duration>(kSweepInterval);
  if (now.count() < next || !next_sweep_.compare_exchange_strong(next, then.count())) return;
  auto request =
      std::make_unique<pg::Request>(kSweepKeptSql, pg::Parameters(), std::make_unique<NoSink>());
  request->is_write = true;
  access_.submit(std::string(PgAccess::kSystem), std::move(request));
}

// What the gateway keeps from the client: it shows how the server is built. When the server cannot
// serve (a full disk, say) every statement says the same, so one line a second is enough.
void QueryExecutor::log_refusal(const rpc::Call& call, const pg::ServerError& error,
                                const Error& told) {
  const bool outage = told.is(errors::kUnavailable);
  if (!outage && !told.is(errors::kInternal)) return;
  if (outage) {
    const auto now = pg::Clock::now().time_since_epoch();
    auto next = next_log_.load(std::memory_order_relaxed);
    if (now.count() < next ||
        !next_log_.compare_exchange_strong(
            next,
            (now + std::chrono::duration_cast<pg::Clock::duration>(kOutageLogInterval)).count()))
      return;
  }
  const std::string trace = call.trace.trace_id_hex();
  log::error({.project = call.project, .trace_id = trace, .request_id = call.request_id},
             "PostgreSQL could not run a statement",
             {{"sqlstate", error.sqlstate}, {"error", error.message}});
}

void QueryExecutor::start(JobPtr job) {
  Result<Statement> statement =
      build_query(job->operation_, job->table_->info, job->query_.options);
  if (!statement.ok()) {
    const Error& error = statement.error();
    // A column may be newer than what this node knows.
    if (job->attempts_ == 0 && error.is(errors::kUnknownColumn)) {
      run_again(job->take_over(), false);
      return;
    }
    job->answer(std::move(statement).error());
    return;
  }
  if (job->key_) {
    if (Status kept = keep_result(*statement, job->table_->info, job->key_); !kept.ok()) {
      job->answer(std::move(kept).error());
      return;
    }
  }
  if (statement->parameters.size() > pg::Parameters::kMaxCount) {
    job->answer(Error(errors::kInvalidRequest, "the statement has more than 65535 values"));
    return;
  }
  job->shape_ = statement->shape;
  const CatalogTable& table = *job->table_;
  const std::string& project = job->query_.call->project;
  const auto deadline = job->query_.call->deadline;
  // `project` lives on in the request's sink until the hand-over has copied it.
  auto request =
      std::make_unique<pg::Request>(statement->sql, encode(statement->parameters), std::move(job));
  request->is_write = statement->is_write;
  request->runs_foreign_code = statement->is_write ? table.writes_run_code : table.reads_run_code;
  request->deadline = deadline;
  access_.submit(project, std::move(request));
}

void QueryExecutor::run_again(JobPtr job, bool drop_statements) {
  probe_.query_repeated();
  const std::string project = job->query_.call->project;
  const std::string table = job->query_.table;
  if (drop_statements) access_.forget_statements(project);
  catalog_.reload(project, table, [this, job = std::move(job)](Result<TablePtr> found) mutable {
    with_table(std::move(job), std::move(found));
  });
}

}  // namespace raymesh::storage
