// Turns one operation of the database API (operation, table, JSON options) into one parameterised
// SQL statement: the only place where a caller's names and values meet SQL text. Names go in only
// when the table has such a column, quoted; values only as parameters. Pure functions, any thread.
//
// Options: where, select, orderBy, limit, offset (find, findMany, findFirst, findOne), where
// (count), data (insert), data and where (update), where (delete); `include` only when empty; a key
// with the value null counts as absent, except limit and offset (400). Any other key is refused by
// name. docs/database.md has the whole language.
#pragma once

#include <cstdint>
#include <string_view>

#include "libs/base/result.hpp"
#include "services/storage/statement.hpp"
#include "services/storage/table_info.hpp"

namespace raymesh::storage {

enum class Operation : uint8_t { kFind, kFindFirst, kInsert, kUpdate, kDelete, kCount };

/// find|findMany, findFirst|findOne, insert, update, delete, count; else invalid_operation.
Result<Operation> parse_operation(std::string_view name);
inline bool is_write(Operation operation) {
  return operation == Operation::kInsert || operation == Operation::kUpdate ||
         operation == Operation::kDelete;
}

/// Rows of one reply: the default and the cap of `limit`.
inline constexpr int64_t kMaxRows = 1000;
/// The cap of `offset`.
inline constexpr int64_t kMaxOffset = 1'000'000'000;

/// Errors: invalid_json, invalid_request, invalid_filter, invalid_value, invalid_identifier,
/// unknown_column, unsupported_operator, condition_required. Empty options are {}.
Result<Statement> build_query(Operation operation, const TableInfo& table,
                              std::string_view options_json);

inline Result<Statement> build_query(std::string_view operation, const TableInfo& table,
                                     std::string_view options_json) {
  RAYMESH_TRY(Operation parsed, parse_operation(operation));
  return build_query(parsed, table, options_json);
}

}  // namespace raymesh::storage
