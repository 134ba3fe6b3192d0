#include "services/storage/query_builder.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "libs/base/json_reader.hpp"
#include "libs/base/json_writer.hpp"
#include "services/storage/identifiers.hpp"
#include "services/storage/value_binder.hpp"
#include "services/storage/where_builder.hpp"

namespace raymesh::storage {
namespace {

Error invalid_request(std::string message) {
  return Error(errors::kInvalidRequest, std::move(message));
}

/// The members of the options object; nullopt when absent or null.
struct Options {
  std::optional<JsonValue> where;
  std::optional<JsonValue> select;
  std::optional<JsonValue> order_by;
  std::optional<JsonValue> limit;
  std::optional<JsonValue> offset;
  std::optional<JsonValue> include;
  std::optional<JsonValue> data;

  std::optional<JsonValue>* slot(std::string_view name) {
    if (name == "where") return &where;
    if (name == "select") return &select;
    if (name == "orderBy") return &order_by;
    if (name == "limit") return &limit;
    if (name == "offset") return &offset;
    if (name == "include") return &include;
    if (name == "data") return &data;
    return nullptr;
  }
};

Result<Options> read_options(std::string_view text) {
  Options options;
  if (text.empty()) return options;
  const std::optional<JsonValue> root = parse_json(text);
  if (!root) return Error(errors::kInvalidJson, "options is not well-formed JSON");
  if (!root->is(JsonKind::kObject)) {
    return invalid_request("options must be an object, not " + std::string(describe(root->kind())));
  }
  JsonMembers members(*root);
  std::string scratch;
  while (members.next()) {
    const std::string_view name = members.key(scratch);
    std::optional<JsonValue>* slot = options.slot(name);
    if (!slot) return invalid_request("Unknown option: " + json::quoted(name.substr(0, 80)));
    if (slot->has_value())
      return invalid_request("Option " + std::string(name) + " is given twice");
    const JsonValue value = members.value();
    // JSON has no NaN: a client's NaN arrives as null, and must not mean "no limit".
    const bool may_be_null = name != "limit" && name != "offset";
    if (may_be_null && value.is(JsonKind::kNull)) continue;
    *slot = value;
  }
  if (options.include &&
      !(options.include->is(JsonKind::kArray) || options.include->is(JsonKind::kObject))) {
    return invalid_request("include is not supported");
  }
  if (options.include && !options.include->is_empty()) {
    return invalid_request("include is not supported");
  }
  return options;
}

void append_table(std::string& sql, const TableInfo& table) {
  append_identifier(sql, table.schema);
  sql += '.';
  append_identifier(sql, table.name);
}

Status append_select(Statement& statement, const TableInfo& table,
                     const std::optional<JsonValue>& select) {
  if (select && !select->is(JsonKind::kArray)) {
    return invalid_request("select must be an array of column names");
  }
  if (!select || select->is_empty()) {
    statement.sql += '*';
    return ok_status();
  }
  std::vector<bool> chosen(table.columns.size());
  JsonMembers members(*select);
  std::string scratch;
  bool first = true;
  while (members.next()) {
    if (!members.value().is(JsonKind::kString)) {
      return invalid_request("select must be an array of column names");
    }
    RAYMESH_TRY(const Column* column, find_column(table, members.value().text(scratch)));
    const auto index = static_cast<size_t>(column - table.columns.data());
    if (chosen[index]) continue;  // a row is an object: a name stands in it once
    chosen[index] = true;
    if (!first) statement.sql += ", ";
    first = false;
    append_identifier(statement.sql, column->name);
  }
  return ok_status();
}

/// " WHERE ...", or nothing when every row matches. Tells which.
Result<Truth> append_where(Statement& statement, const TableInfo& table,
                           const std::optional<JsonValue>& where) {
  if (!where) return Truth::kNothing;
  const size_t begin = statement.sql.size();
  statement.sql += " WHERE ";
  WhereBuilder builder(table, statement);
  RAYMESH_TRY(const Truth truth, builder.append(*where));
  if (truth == Truth::kFalse) {
    statement.sql += "FALSE";
  } else if (truth != Truth::kCondition) {
    statement.sql.resize(begin);
  }
  return truth;
}

/// For update and delete: a condition that every row fulfils is none.
Status append_required_where(Statement& statement, const TableInfo& table, const Options& options,
                             std::string_view operation) {
  RAYMESH_TRY(const Truth truth, append_where(statement, table, options.where));
  if (truth == Truth::kCondition || truth == Truth::kFalse) return ok_status();
  return Error(errors::kConditionRequired,
               std::string(operation) +
                   " needs a where clause with a real condition: this one matches every row");
}

Status append_order_by(Statement& statement, const TableInfo& table,
                       const std::optional<JsonValue>& order_by) {
  if (!order_by) return ok_status();
  if (!order_by->is(JsonKind::kObject)) {
    return invalid_request("orderBy must be an object like {\"name\": \"asc\"}");
  }
  std::vector<bool> chosen(table.columns.size());
  JsonMembers members(*order_by);
  std::string scratch;
  bool first = true;
  while (members.next()) {
    RAYMESH_TRY(const Column* column, find_column(table, members.key(scratch)));
    const JsonValue value = members.value();
    const std::string_view direction =
        value.is(JsonKind::kString) ? value.text(scratch) : std::string_view();
    if (direction != "asc" && direction != "desc") {
      return invalid_request("Invalid sort direction for \"" + column->name +
                             "\": it must be \"asc\" or \"desc\"");
    }
    const auto index = static_cast<size_t>(column - table.columns.data());
    if (chosen[index]) continue;
    chosen[index] = true;
    statement.sql += first ? " ORDER BY " : ", ";
    first = false;
    append_operand(statement.sql, *column);
    statement.sql += direction == "asc" ? " ASC" : " DESC";
  }
  return ok_status();
}

/// A whole number from 0 on, cut to `cap`.
Result<int64_t> read_count(const JsonValue& value, std::string_view name, int64_t cap) {
  const std::string_view text = value.raw();
  double number = -1;
  if (value.is(JsonKind::kNumber)) {
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (ec != std::errc()) number = -1;
  }
  if (!(number >= 0) || std::trunc(number) != number) {
    return invalid_request(std::string(name) + " must be a whole number, 0 or more, not " +
                           std::string(text.substr(0, 40)));
  }
  return number > static_cast<double>(cap) ? cap : static_cast<int64_t>(number);
}

Status append_page(Statement& statement, const Options& options) {
  // As parameters, so that all pages share one prepared statement; the default as text.
  if (options.limit) {
    RAYMESH_TRY(const int64_t limit, read_count(*options.limit, "limit", kMaxRows));
    statement.sql += " LIMIT ";
    RAYMESH_CHECK_OK(add_parameter(statement, std::to_string(limit)));
  } else {
    statement.sql += " LIMIT 1000";
    static_assert(kMaxRows == 1000);
  }
  if (options.offset) {
    RAYMESH_TRY(const int64_t offset, read_count(*options.offset, "offset", kMaxOffset));
    statement.sql += " OFFSET ";
    RAYMESH_CHECK_OK(add_parameter(statement, std::to_string(offset)));
  }
  return ok_status();
}

Status build_find(Statement& statement, const TableInfo& table, const Options& options,
                  bool only_first) {
  statement.shape = only_first ? ResultShape::kFirstRow : ResultShape::kRows;
  statement.sql += "SELECT ";
  RAYMESH_CHECK_OK(append_select(statement, table, options.select));
  statement.sql += " FROM ";
  append_table(statement.sql, table);
  RAYMESH_TRY([[maybe_unused]] const Truth truth, append_where(statement, table, options.where));
  RAYMESH_CHECK_OK(append_order_by(statement, table, options.order_by));
  if (!only_first) return append_page(statement, options);
  statement.sql += " LIMIT 1";
  return ok_status();
}

Status build_count(Statement& statement, const TableInfo& table, const Options& options) {
  statement.shape = ResultShape::kCountValue;
  statement.sql += "SELECT count(*) FROM ";
  append_table(statement.sql, table);
  RAYMESH_TRY([[maybe_unused]] const Truth truth, append_where(statement, table, options.where));
  return ok_status();
}

/// Calls `use(column, value)` for each member of `data`, and refuses what is no row.
template <class Use>
Status for_each_field(const TableInfo& table, const std::optional<JsonValue>& data,
                      std::string_view operation, Use use) {
  if (!data || !data->is(JsonKind::kObject) || data->is_empty()) {
    return invalid_request(std::string(operation) +
                           " requires a data object with at least one column");
  }
  std::vector<bool> chosen(table.columns.size());
  JsonMembers members(*data);
  std::string scratch;
  while (members.next()) {
    RAYMESH_TRY(const Column* column, find_column(table, members.key(scratch)));
    const auto index = static_cast<size_t>(column - table.columns.data());
    if (chosen[index]) return invalid_request("Column \"" + column->name + "\" is given twice");
    chosen[index] = true;
    RAYMESH_CHECK_OK(use(*column, members.value()));
  }
  return ok_status();
}

Status build_insert(Statement& statement, const TableInfo& table, const Options& options) {
  statement.shape = ResultShape::kInsertedId;
  std::string& sql = statement.sql;
  sql += "INSERT INTO ";
  append_table(sql, table);
  sql += " (";
  std::vector<std::optional<std::string>> values;
  RAYMESH_CHECK_OK(for_each_field(
      table, options.data, "insert", [&](const Column& column, const JsonValue& value) -> Status {
        if (!values.empty()) sql += ", ";
        append_identifier(sql, column.name);
        RAYMESH_TRY(std::optional<std::string> text, bind_value(column, value));
        values.push_back(std::move(text));
        return ok_status();
      }));
  sql += ") VALUES (";
  statement.parameters.reserve(values.size());
  for (auto& text : values) {
    if (!statement.parameters.empty()) sql += ", ";
    RAYMESH_CHECK_OK(add_parameter(statement, std::move(text)));
  }
  // The whole row is only needed where it may have to stand for its id.
  const Column* id = table.find("id");
  sql += ')';
  statement.returning = sql.size();
  sql += id && id->not_null ? " RETURNING \"id\"" : " RETURNING *";
  return ok_status();
}

Status build_update(Statement& statement, const TableInfo& table, const Options& options) {
  statement.shape = ResultShape::kAffectedCount;
  std::string& sql = statement.sql;
  sql += "UPDATE ";
  append_table(sql, table);
  sql += " SET ";
  RAYMESH_CHECK_OK(for_each_field(
      table, options.data, "update", [&](const Column& column, const JsonValue& value) -> Status {
        if (!statement.parameters.empty()) sql += ", ";
        append_identifier(sql, column.name);
        sql += " = ";
        RAYMESH_TRY(std::optional<std::string> text, bind_value(column, value));
        return add_parameter(statement, std::move(text));
      }));
  return append_required_where(statement, table, options, "update");
}

Status build_delete(Statement& statement, const TableInfo& table, const Options& options) {
  statement.shape = ResultShape::kAffectedCount;
  statement.sql += "DELETE FROM ";
  append_table(statement.sql, table);
  return append_required_where(statement, table, options, "delete");
}

Status build(Statement& statement, Operation operation, const TableInfo& table,
             const Options& options) {
  switch (operation) {
    case Operation::kFind:
      return build_find(statement, table, options, false);
    case Operation::kFindFirst:
      return build_find(statement, table, options, true);
    case Operation::kCount:
      return build_count(statement, table, options);
    case Operation::kInsert:
      return build_insert(statement, table, options);
    case Operation::kUpdate:
      return build_update(statement, table, options);
    case Operation::kDelete:
      return build_delete(statement, table, options);
  }
  return Error(errors::kInvalidOperation, "Invalid operation");
}

}  // namespace

Result<Operation> parse_operation(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, Operation>, 8> kOperations = {{
      {"findFirst", Operation::kFindFirst},
      {"findOne", Operation::kFindFirst},
      {"find", Operation::kFind},
      {"findMany", Operation::kFind},
      {"insert", Operation::kInsert},
      {"update", Operation::kUpdate},
      {"delete", Operation::kDelete},
      {"count", Operation::kCount},
  }};
  for (const auto& [known, operation] : kOperations) {
    if (known == name) return operation;
  }
  return Error(errors::kInvalidOperation, "Invalid operation");
}

Result<Statement> build_query(Operation operation, const TableInfo& table,
                              std::string_view options_json) {
  RAYMESH_TRY(const Options options, read_options(options_json));
  // A caller who limits a write means fewer rows; ignoring it would touch more.
  if (is_write(operation) && (options.limit || options.offset)) {
    return invalid_request("limit and offset do not apply to insert, update and delete");
  }
  Statement statement;
  statement.is_write = is_write(operation);
  statement.sql.reserve(160);
  statement.parameters.reserve(4);
  RAYMESH_CHECK_OK(build(statement, operation, table, options));
  return statement;
}

}  // namespace raymesh::storage
