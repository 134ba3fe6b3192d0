// One SQL statement with its parameters, ready for PQsendQueryPrepared: what the query builder
// makes and the executor runs. A plain value; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace raymesh::storage {

/// A parameter in PostgreSQL's text format; nullopt is NULL. Holds no NUL byte.
struct Parameter {
  std::optional<std::string> text;
  uint32_t type_oid = 0;  // 0: PostgreSQL infers it from the statement
};

/// What the reply is made from.
enum class ResultShape {
  kRows,           // array of objects
  kFirstRow,       // object or null
  kInsertedId,     // {"id": value}: the row's column `id`; the whole row when it has none or NULL
  kAffectedCount,  // {"count": n} from the command tag
  kCountValue,     // n: the first column of the only row
  kCountObject,    // {"count": n}: the same, as an object
};

struct Statement {
  /// Depends on the request's shape only (columns, operators, nesting), never on values or on the
  /// length of lists, so that it is a good key for prepared statements.
  std::string sql;
  std::vector<Parameter> parameters;
  ResultShape shape = ResultShape::kRows;
  bool is_write = false;
  /// Where RETURNING begins in the SQL of an insert.
  size_t returning = std::string::npos;
};

}  // namespace raymesh::storage
