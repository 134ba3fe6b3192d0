#include "services/storage/where_builder.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "libs/base/json_writer.hpp"
#include "services/storage/identifiers.hpp"
#include "services/storage/value_binder.hpp"

namespace raymesh::storage {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kComparisons = {{
    {"equals", " = "},
    {"eq", " = "},
    {"not", " <> "},
    {"gt", " > "},
    {"gte", " >= "},
    {"lt", " < "},
    {"lte", " <= "},
}};

constexpr std::array<std::string_view, 6> kOtherOperators = {"in",         "notIn",    "contains",
                                                             "startsWith", "endsWith", "mode"};

std::string_view comparison_sign(std::string_view name) {
  for (const auto& [known, sign] : kComparisons) {
    if (known == name) return sign;
  }
  return {};
}

bool is_operator(std::string_view name) {
  if (!comparison_sign(name).empty()) return true;
  for (std::string_view known : kOtherOperators) {
    if (known == name) return true;
  }
  return false;
}

bool has_operator(const JsonValue& object) {
  JsonMembers members(object);
  std::string scratch;
  while (members.next()) {
    if (is_operator(members.key(scratch))) return true;
  }
  return false;
}

Error invalid_filter(std::string message) {
  return Error(errors::kInvalidFilter, std::move(message));
}

/// Joins two parts of an AND.
Truth both(Truth a, Truth b) {
  if (a == Truth::kFalse || b == Truth::kFalse) return Truth::kFalse;
  if (a == Truth::kCondition || b == Truth::kCondition) return Truth::kCondition;
  return a == Truth::kTrue || b == Truth::kTrue ? Truth::kTrue : Truth::kNothing;
}

/// `mode` of an operators object: true for "insensitive".
Result<bool> ignores_case(const JsonValue& operators) {
  JsonMembers members(operators);
  std::string scratch;
  bool ignore_case = false;
  while (members.next()) {
    if (members.key(scratch) != "mode") continue;
    const JsonValue value = members.value();
    const std::string_view mode =
        value.is(JsonKind::kString) ? value.text(scratch) : std::string_view();
    if (mode != "default" && mode != "insensitive") {
      return invalid_filter("mode must be \"default\" or \"insensitive\"");
    }
    ignore_case = mode == "insensitive";
  }
  return ignore_case;
}

/// Escapes what LIKE treats specially; backslash is its default escape character.
void append_like_literal(std::string& pattern, std::string_view text) {
  for (char c : text) {
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += c;
  }
}

/// Joins parts that are appended to the statement one after the other, and takes back text and
/// parameters of what turned out to be constant.
class Joiner {
 public:
  Joiner(Statement& statement, std::string_view separator)
      : sql_(statement.sql),
        parameters_(statement.parameters),
        begin_(sql_.size()),
        first_parameter_(parameters_.size()),
        separator_(separator) {}

  /// Before a part.
  void open() {
    part_ = sql_.size();
    if (parts_ > 0) sql_ += separator_;
  }
  /// After a part: it stays or not.
  void close(bool keep) {
    if (keep) {
      ++parts_;
    } else {
      sql_.resize(part_);
    }
  }
  void drop_all() {
    sql_.resize(begin_);
    parameters_.resize(first_parameter_);
  }
  int parts() const { return parts_; }
  /// Parentheses around all parts. OR needs them, because AND binds tighter; AND never does.
  void enclose() {
    if (parts_ < 2) return;
    sql_.insert(begin_, 1, '(');
    sql_ += ')';
  }

 private:
  std::string& sql_;
  std::vector<Parameter>& parameters_;
  size_t begin_;
  size_t first_parameter_;
  size_t part_ = 0;
  int parts_ = 0;
  std::string_view separator_;
};

}  // namespace

void append_operand(std::string& sql, const Column& column) {
  append_identifier(sql, column.name);
  if (column.type_oid == oid::kJson) sql += "::jsonb";
}

Status add_parameter(Statement& statement, std::optional<std::string> text) {
  constexpr size_t kMax = 65'535;
  if (statement.parameters.size() == kMax) {
    return Error(errors::kInvalidRequest, "the request has more than 65535 values");
  }
  statement.parameters.push_back({std::move(text), 0});
  std::array<char, 8> digits{};
  const auto end =
      std::to_chars(digits.data(), digits.data() + digits.size(), statement.parameters.size()).ptr;
  statement.sql += '$';
  statement.sql.append(digits.data(), end);
  return ok_status();
}

Result<const Column*> find_column(const TableInfo& table, std::string_view name) {
  if (const Column* column = table.find(name)) return column;
  RAYMESH_CHECK_OK(check_identifier(name, "column"));
  return Error(errors::kUnknownColumn, "Column " + json::quoted(name) +
                                           " does not exist in table " + json::quoted(table.name));
}

Result<Truth> WhereBuilder::append(const JsonValue& where) {
  if (!where.is(JsonKind::kObject)) {
    return invalid_filter("where must be an object, not " + std::string(describe(where.kind())));
  }
  return append_object(where, 0);
}

Result<Truth> WhereBuilder::append_object(const JsonValue& where, int depth) {
  if (depth > kMaxDepth) {
    return invalid_filter("where is nested deeper than " + std::to_string(kMaxDepth) + " levels");
  }
  Joiner joiner(statement_, " AND ");
  Truth truth = Truth::kNothing;
  JsonMembers members(where);
  std::string scratch;
  while (members.next()) {
    const std::string_view key = members.key(scratch);
    const JsonValue value = members.value();
    joiner.open();
    Result<Truth> part = [&]() -> Result<Truth> {
      if (key == "AND") return append_all(value, depth + 1);
      if (key == "OR") return append_any(value, depth + 1);
      if (key == "NOT") return append_not(value, depth + 1);
      RAYMESH_TRY(const Column* column, find_column(table_, key));
      return append_column(*column, value);
    }();
    if (!part.ok()) return part;
    joiner.close(*part == Truth::kCondition);
    truth = both(truth, *part);
  }
  if (truth == Truth::kFalse) joiner.drop_all();
  return truth;
}

Result<Truth> WhereBuilder::append_all(const JsonValue& members, int depth) {
  if (!members.is(JsonKind::kArray)) return invalid_filter("AND takes an array of conditions");
  Joiner joiner(statement_, " AND ");
  Truth truth = Truth::kNothing;
  JsonMembers each(members);
  while (each.next()) {
    if (!each.value().is(JsonKind::kObject)) return invalid_filter("AND takes an array of objects");
    joiner.open();
    RAYMESH_TRY(const Truth part, append_object(each.value(), depth));
    joiner.close(part == Truth::kCondition);
    truth = both(truth, part);
  }
  if (truth == Truth::kFalse) joiner.drop_all();
  return truth;
}

Result<Truth> WhereBuilder::append_any(const JsonValue& members, int depth) {
  if (!members.is(JsonKind::kArray)) return invalid_filter("OR takes an array of conditions");
  if (members.is_empty()) return Truth::kNothing;
  Joiner joiner(statement_, " OR ");
  bool is_true = false;
  JsonMembers each(members);
  while (each.next()) {
    if (!each.value().is(JsonKind::kObject)) return invalid_filter("OR takes an array of objects");
    joiner.open();
    RAYMESH_TRY(const Truth part, append_object(each.value(), depth));
    joiner.close(part == Truth::kCondition);
    is_true = is_true || part == Truth::kTrue || part == Truth::kNothing;
  }
  if (is_true || joiner.parts() == 0) {
    joiner.drop_all();
    return is_true ? Truth::kTrue : Truth::kFalse;
  }
  joiner.enclose();
  return Truth::kCondition;
}

Result<Truth> WhereBuilder::append_not(const JsonValue& where, int depth) {
  if (!where.is(JsonKind::kObject)) return invalid_filter("NOT takes an object of conditions");
  const size_t begin = statement_.sql.size();
  statement_.sql += "NOT (";
  RAYMESH_TRY(const Truth truth, append_object(where, depth));
  if (truth == Truth::kCondition) {
    statement_.sql += ')';
    return truth;
  }
  statement_.sql.resize(begin);
  switch (truth) {
    case Truth::kTrue:
      return Truth::kFalse;
    case Truth::kFalse:
      return Truth::kTrue;
    default:
      return Truth::kNothing;
  }
}

Result<Truth> WhereBuilder::append_column(const Column& column, const JsonValue& value) {
  switch (value.kind()) {
    case JsonKind::kArray:
      if (column.is_array()) return append_comparison(column, " = ", value);
      return append_list(column, value, false);
    case JsonKind::kObject:
      if (column.is_json() && !value.is_empty() && !has_operator(value)) {
        return append_comparison(column, " = ", value);
      }
      return append_operators(column, value);
    default:
      return append_comparison(column, " = ", value);
  }
}

Result<Truth> WhereBuilder::append_operators(const Column& column, const JsonValue& operators) {
  RAYMESH_TRY(const bool ignore_case, ignores_case(operators));
  Joiner joiner(statement_, " AND ");
  Truth truth = Truth::kNothing;
  JsonMembers members(operators);
  std::string scratch;
  while (members.next()) {
    const std::string_view name = members.key(scratch);
    if (name == "mode") continue;
    joiner.open();
    RAYMESH_TRY(const Truth part, append_operator(column, name, members.value(), ignore_case));
    joiner.close(part == Truth::kCondition);
    truth = both(truth, part);
  }
  if (truth == Truth::kFalse) joiner.drop_all();
  return truth;
}

Result<Truth> WhereBuilder::append_operator(const Column& column, std::string_view name,
                                            const JsonValue& value, bool ignore_case) {
  if (name == "not" && value.is(JsonKind::kArray) && !column.is_array()) {
    return append_list(column, value, true);
  }
  if (const std::string_view sign = comparison_sign(name); !sign.empty()) {
    return append_comparison(column, sign, value);
  }
  if (name == "in" || name == "notIn") return append_list(column, value, name == "notIn");
  if (name == "contains" || name == "startsWith" || name == "endsWith") {
    return append_pattern(column, name, value, ignore_case);
  }
  return Error(errors::kUnsupportedOperator,
               "Unsupported operator: " + std::string(name.substr(0, 80)));
}

Result<Truth> WhereBuilder::append_comparison(const Column& column, std::string_view sign,
                                              const JsonValue& value) {
  RAYMESH_CHECK_OK(count_condition());
  append_operand(statement_.sql, column);
  if (value.is(JsonKind::kNull) && sign == " = ") {
    statement_.sql += " IS NULL";
    return Truth::kCondition;
  }
  if (value.is(JsonKind::kNull) && sign == " <> ") {
    statement_.sql += " IS NOT NULL";
    return Truth::kCondition;
  }
  statement_.sql += sign;
  if (is_integer_type(column.type_oid) && is_fraction(value)) {
    // `age > 1.5` has a meaning, though 1.5 is no value of the column.
    RAYMESH_CHECK_OK(add_parameter(statement_, std::string(value.raw())));
    statement_.sql += "::numeric";
    return Truth::kCondition;
  }
  RAYMESH_TRY(std::optional<std::string> text, bind_value(column, value));
  RAYMESH_CHECK_OK(add_parameter(statement_, std::move(text)));
  return Truth::kCondition;
}

Result<Truth> WhereBuilder::append_list(const Column& column, const JsonValue& list, bool negated) {
  RAYMESH_CHECK_OK(count_condition());
  if (!list.is(JsonKind::kArray) || list.is_empty()) {
    return negated ? Truth::kTrue : Truth::kFalse;
  }
  append_operand(statement_.sql, column);
  if (!column.is_array()) {
    // One array parameter, so that the text does not depend on the length.
    statement_.sql += negated ? " <> ALL(" : " = ANY(";
    RAYMESH_TRY(std::string text, bind_list(column, list, list_budget_));
    RAYMESH_CHECK_OK(add_parameter(statement_, std::move(text)));
    statement_.sql += ')';
    return Truth::kCondition;
  }
  // PostgreSQL has no array of arrays.
  statement_.sql += negated ? " NOT IN (" : " IN (";
  JsonMembers members(list);
  for (bool first = true; members.next(); first = false) {
    RAYMESH_CHECK_OK(count_condition());
    if (!first) statement_.sql += ", ";
    RAYMESH_TRY(std::optional<std::string> text, bind_value(column, members.value()));
    RAYMESH_CHECK_OK(add_parameter(statement_, std::move(text)));
  }
  statement_.sql += ')';
  return Truth::kCondition;
}

Result<Truth> WhereBuilder::append_pattern(const Column& column, std::string_view name,
                                           const JsonValue& value, bool ignore_case) {
  RAYMESH_CHECK_OK(count_condition());
  if (column.category != 'S') {
    return Error(errors::kUnsupportedOperator, "Unsupported operator: " + std::string(name) +
                                                   " needs a text column, and \"" + column.name +
                                                   "\" is none");
  }
  if (!value.is(JsonKind::kString) && !value.is(JsonKind::kNumber)) {
    return Error(errors::kInvalidValue, std::string(name) + " on column \"" + column.name +
                                            "\" takes a string, not " +
                                            std::string(describe(value.kind())));
  }
  RAYMESH_TRY(const std::optional<std::string> text, bind_value(column, value));
  std::string pattern;
  if (name != "startsWith") pattern += '%';
  if (text) append_like_literal(pattern, *text);
  if (name != "endsWith") pattern += '%';
  append_operand(statement_.sql, column);
  statement_.sql += ignore_case ? " ILIKE " : " LIKE ";
  RAYMESH_CHECK_OK(add_parameter(statement_, std::move(pattern)));
  return Truth::kCondition;
}

Status WhereBuilder::count_condition() {
  if (++conditions_ <= kMaxConditions) return ok_status();
  return invalid_filter("where has more than " + std::to_string(kMaxConditions) + " conditions");
}

}  // namespace raymesh::storage
