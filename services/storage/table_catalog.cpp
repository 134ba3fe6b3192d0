#include "services/storage/table_catalog.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "libs/base/json_writer.hpp"
#include "services/storage/catalog_sql.hpp"

namespace raymesh::storage {
namespace {

Error to_load_error(const pg::Outcome& outcome) {
  if (outcome.kind == pg::Outcome::Kind::kFailed) return outcome.error;
  return Error(errors::kInternal, "the catalog cannot be read: " + outcome.server_error->message);
}

std::string text_of(const pg::Field& field) {
  return field.is_null() ? std::string() : std::string(field.text());
}

uint32_t number_of(const pg::Field& field) {
  uint32_t value = 0;
  if (!field.is_null()) std::from_chars(field.data, field.data + field.size, value);
  return value;
}

char char_of(const pg::Field& field) {
  return field.is_null() || field.size == 0 ? '\0' : field.data[0];
}

bool bool_of(const pg::Field& field) {
  return char_of(field) == 't';
}

std::string reading_key(const std::string& project, const std::string& table) {
  return project + '\0' + table;
}

}  // namespace

struct TableCatalog::Project {
  explicit Project(size_t max_tables) : tables(max_tables) {}
  LruCache<std::string, TablePtr> tables;
  std::optional<int64_t> epoch;
  Clock::time_point last_used{};
};

// The rows of kReadTableSql.
class TableCatalog::ReadSink final : public pg::AnswerSink {
 public:
  ReadSink(TableCatalog& catalog, std::string project, std::string table, uint64_t generation)
      : catalog_(catalog),
        project_(std::move(project)),
        table_(std::move(table)),
        generation_(generation) {}
  ~ReadSink() override {
    if (!is_done_) finish(Error(errors::kUnavailable, "the service is stopping"));
  }

  void begin(const pg::ResultColumns&) override { found_.reset(); }

  bool row(std::span<const pg::Field> f) override {
    if (!found_) {
      found_ = std::make_shared<CatalogTable>();
      found_->info.schema = text_of(f[0]);
      found_->info.name = table_;
      found_->reads_run_code = bool_of(f[1]);
      found_->writes_run_code = bool_of(f[2]);
    }
    if (f[3].is_null()) return true;  // a table without columns
    Column column;
    column.name = text_of(f[3]);
    column.type_oid = number_of(f[4]);
    column.category = char_of(f[5]);
    column.element_oid = number_of(f[6]);
    column.element_category = char_of(f[7]);
    column.not_null = bool_of(f[8]);
    found_->info.columns.push_back(std::move(column));
    return true;
  }
  void oversized_row() override {}

  void done(pg::Outcome outcome) override {
    if (outcome.kind != pg::Outcome::Kind::kDone) {
      finish(to_load_error(outcome));
    } else if (!found_) {
      finish(Error(errors::kUnknownTable, "Unknown table: " + json::quoted(table_)));
    } else {
      finish(TablePtr(std::move(found_)));
    }
  }

 private:
  void finish(Result<TablePtr> result) {
    is_done_ = true;
    catalog_.end_read(project_, table_, generation_, std::move(result));
  }

  TableCatalog& catalog_;
  const std::string project_;
  const std::string table_;
  const uint64_t generation_;
  std::shared_ptr<CatalogTable> found_;
  bool is_done_ = false;
};

// The rows of kReadEpochsSql.
class TableCatalog::PollSink final : public pg::AnswerSink {
 public:
  explicit PollSink(TableCatalog& catalog) : catalog_(catalog) {}
  ~PollSink() override {
    if (!is_done_) finish(Error(errors::kUnavailable, "the service is stopping"));
  }

  void begin(const pg::ResultColumns&) override { epochs_.clear(); }
  bool row(std::span<const pg::Field> f) override {
    int64_t epoch = 0;
    std::from_chars(f[1].data, f[1].data + f[1].size, epoch);
    epochs_[text_of(f[0])] = epoch;
    return true;
  }
  void oversized_row() override {}
  void done(pg::Outcome outcome) override {
    if (outcome.kind == pg::Outcome::Kind::kDone) {
      finish(std::move(epochs_));
    } else {
      finish(to_load_error(outcome));
    }
  }

 private:
  void finish(Result<Epochs> result) {
    is_done_ = true;
    catalog_.end_poll(std::move(result));
  }

  TableCatalog& catalog_;
  Epochs epochs_;
  bool is_done_ = false;
};

TableCatalog::TableCatalog(PgAccess& access, const CatalogLimits& limits, Events& events)
    : access_(access), limits_(limits), events_(events) {}

TableCatalog::~TableCatalog() = default;

TablePtr TableCatalog::find(const std::string& project, const std::string& table) {
  pg::RequestPtr poll;
  TablePtr found;
  {
    std::lock_guard lock(mutex_);
    if (!is_verified_locked()) return nullptr;
    found = cached_locked(project, table);
    if (found) poll = begin_poll_locked();
  }
  submit_poll(std::move(poll));
  return found;
}

void TableCatalog::load(const std::string& project, const std::string& table, Done done) {
  pg::RequestPtr poll;
  {
    std::unique_lock lock(mutex_);
    project_locked(project);
    if (is_verified_locked()) {
      if (TablePtr found = cached_locked(project, table)) {
        lock.unlock();
        done(std::move(found));
        return;
      }
    }
    poll = begin_poll_locked();
    if (is_polling_ && !is_verified_locked()) {
      after_poll_.push_back([this, project, table, done = std::move(done)]() mutable {
        TablePtr found;
        {
          std::lock_guard again(mutex_);
          found = cached_locked(project, table);
        }
        if (found) {
          done(std::move(found));
        } else {
          read(project, table, std::move(done));
        }
      });
    }
  }
  submit_poll(std::move(poll));
  if (done) read(project, table, std::move(done));
}

void TableCatalog::reload(const std::string& project, const std::string& table, Done done) {
  {
    std::lock_guard lock(mutex_);
    project_locked(project).tables.erase(table);
  }
  read(project, table, std::move(done));
}

void TableCatalog::invalidate(const std::string& project) {
  {
    std::lock_guard lock(mutex_);
    ++generation_;
    projects_.erase(project);
  }
  access_.forget_statements(project);
}

Status TableCatalog::check() {
  pg::RequestPtr poll;
  Status known = ok_status();
  {
    std::lock_guard lock(mutex_);
    poll = begin_poll_locked();
    known = last_poll_;
  }
  submit_poll(std::move(poll));
  return known;
}

void TableCatalog::submit_poll(pg::RequestPtr poll) {
  if (poll) access_.submit(std::string(PgAccess::kSystem), std::move(poll));
}

TableCatalog::Project& TableCatalog::project_locked(const std::string& project) {
  auto it = projects_.find(project);
  if (it == projects_.end()) {
    if (projects_.size() >= limits_.max_projects) {
      projects_.erase(std::min_element(
          projects_.begin(), projects_.end(),
          [](const auto& a, const auto& b) { return a.second->last_used < b.second->last_used; }));
    }
    it =
        projects_.emplace(project, std::make_unique<Project>(limits_.max_tables_per_project)).first;
  }
  it->second->last_used = Clock::now();
  return *it->second;
}

TablePtr TableCatalog::cached_locked(const std::string& project, const std::string& table) {
  auto it = projects_.find(project);
  if (it == projects_.end()) return nullptr;
  it->second->last_used = Clock::now();
  const TablePtr* found = it->second->tables.get(table);
  return found ? *found : nullptr;
}

pg::RequestPtr TableCatalog::begin_poll_locked() {
  const auto now = Clock::now();
  if (is_polling_ || now - poll_started_ < limits_.poll_interval) return nullptr;
  is_polling_ = true;
  poll_started_ = now;
  std::string ids = "{";  // project ids need no quotes
  for (const auto& [id, project] : projects_) {
    if (ids.size() > 1) ids += ',';
    ids += id;
  }
  ids += '}';
  pg::Parameters parameters;
  parameters.add(/*text[]*/ 1009, ids);
  return std::make_unique<pg::Request>(kReadEpochsSql, std::move(parameters),
                                       std::make_unique<PollSink>(*this));
}

void TableCatalog::end_poll(Result<Epochs> epochs) {
  std::vector<std::string> changed;
  std::vector<UniqueFunction<void()>> waiting;
  {
    std::lock_guard lock(mutex_);
    is_polling_ = false;
    last_poll_ = epochs.ok() ? ok_status() : Status(epochs.error());
    waiting.swap(after_poll_);
    if (epochs.ok()) verified_at_ = poll_started_;
    for (auto& [id, project] : projects_) {
      if (!epochs.ok()) {
        project->tables.clear();  // nobody knows: read again what is needed
        continue;
      }
      auto it = epochs->find(id);
      const int64_t epoch = it == epochs->end() ? 0 : it->second;
      if (project->epoch == epoch) continue;
      // Tables that were read before the first epoch was known may be older than it.
      if (project->epoch) changed.push_back(id);
      project->epoch = epoch;
      project->tables.clear();
      ++generation_;
    }
  }
  events_.epochs_polled(epochs.ok());
  for (const std::string& id : changed) {
    events_.epoch_changed();
    access_.forget_statements(id);
  }
  for (auto& next : waiting) next();
}

void TableCatalog::read(const std::string& project, const std::string& table, Done done) {
  uint64_t generation;
  {
    std::lock_guard lock(mutex_);
    auto& waiting = reading_[reading_key(project, table)];
    waiting.push_back(std::move(done));
    if (waiting.size() > 1) return;
    generation = generation_;
  }
  pg::Parameters parameters;
  parameters.add(oid::kText, "p_" + project);
  parameters.add(oid::kText, table);
  access_.submit(project, std::make_unique<pg::Request>(
                              kReadTableSql, std::move(parameters),
                              std::make_unique<ReadSink>(*this, project, table, generation)));
}

void TableCatalog::end_read(const std::string& project, const std::string& table,
                            uint64_t generation, Result<TablePtr> result) {
  std::vector<Done> waiting;
  {
    std::lock_guard lock(mutex_);
    auto it = reading_.find(reading_key(project, table));
    waiting = std::move(it->second);
    reading_.erase(it);
    if (result.ok() && generation == generation_) {
      project_locked(project).tables.put(table, *result);
    }
  }
  if (result.ok()) events_.table_loaded();
  for (Done& done : waiting) done(result);
}

}  // namespace raymesh::storage
