// Compiles a `where` object to a SQL condition with parameters. One builder per statement, used by
// one thread.
//
// Members of an object are joined with AND, and so are several operators on one column. AND and OR
// take arrays of such objects, NOT takes one. Constants are folded while the text is built, so that
// empty lists and empty members never leave a hole in the SQL: `in: []` is false, `notIn: []` is
// true, `{}` says nothing.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "libs/base/json_reader.hpp"
#include "libs/base/result.hpp"
#include "services/storage/statement.hpp"
#include "services/storage/table_info.hpp"

namespace raymesh::storage {

/// What a condition says, known from its shape alone.
enum class Truth {
  kNothing,    // no condition at all: {}, AND: [], NOT: {}
  kTrue,       // holds for every row: notIn: []
  kFalse,      // holds for no row: in: []
  kCondition,  // depends on the row
};

class WhereBuilder {
 public:
  static constexpr int kMaxDepth = 20;               // of AND, OR and NOT
  static constexpr size_t kMaxConditions = 1000;     // operators applied to columns
  static constexpr size_t kMaxListMembers = 10'000;  // of all in and notIn together

  WhereBuilder(const TableInfo& table, Statement& statement)
      : table_(table), statement_(statement) {}

  /// Appends the condition to the statement's SQL, and nothing unless the answer is kCondition.
  /// Errors: invalid_filter, invalid_identifier, unknown_column, unsupported_operator,
  /// invalid_value.
  Result<Truth> append(const JsonValue& where);

 private:
  /// The members of an object, joined by AND.
  Result<Truth> append_object(const JsonValue& where, int depth);
  Result<Truth> append_all(const JsonValue& members, int depth);
  Result<Truth> append_any(const JsonValue& members, int depth);
  Result<Truth> append_not(const JsonValue& where, int depth);

  Result<Truth> append_column(const Column& column, const JsonValue& value);
  Result<Truth> append_operators(const Column& column, const JsonValue& operators);
  Result<Truth> append_operator(const Column& column, std::string_view name, const JsonValue& value,
                                bool ignore_case);
  Result<Truth> append_comparison(const Column& column, std::string_view sign,
                                  const JsonValue& value);
  Result<Truth> append_list(const Column& column, const JsonValue& list, bool negated);
  Result<Truth> append_pattern(const Column& column, std::string_view name, const JsonValue& value,
                               bool ignore_case);
  Status count_condition();

  const TableInfo& table_;
  Statement& statement_;
  size_t conditions_ = 0;
  size_t list_budget_ = kMaxListMembers;
};

/// Appends the column as an operand: quoted, and json as jsonb, which has comparison operators.
void append_operand(std::string& sql, const Column& column);

/// Appends "$n" and its parameter. The protocol counts parameters in 16 bits: invalid_request.
Status add_parameter(Statement& statement, std::optional<std::string> text);

/// The column of that name, or invalid_identifier or unknown_column.
Result<const Column*> find_column(const TableInfo& table, std::string_view name);

}  // namespace raymesh::storage
