// What the storage targets share: a table with every kind of column, and the promise that a
// statement which was accepted is one that PostgreSQL's parser reads.
#pragma once

#include <pg_query.h>

#include <cstdio>
#include <cstdlib>

#include "services/storage/statement.hpp"
#include "services/storage/table_info.hpp"

namespace raymesh::storage {

inline const TableInfo& fuzz_table() {
  static const TableInfo table = {"p_fuzz",
                                  "t",
                                  {{"id", oid::kInt4, 0, 'N', 0, true},
                                   {"n", oid::kNumeric, 0, 'N'},
                                   {"s", oid::kText, 0, 'S'},
                                   {"b", oid::kBool, 0, 'B'},
                                   {"j", oid::kJsonb, 0, 'U'},
                                   {"k", oid::kJson, 0, 'U'},
                                   {"t", oid::kTimestamptz, 0, 'D'},
                                   {"y", oid::kBytea, 0, 'U'},
                                   {"u", oid::kUuid, 0, 'U'},
                                   {"a", 1007, oid::kInt4, 'A', 'N'},
                                   {"c", 3807, oid::kJsonb, 'A', 'U'},
                                   {"w x\"y", oid::kVarchar, 0, 'S'}}};
  return table;
}

inline void must(bool holds, const char* promise, const Statement& statement) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\nsql: %s\n", promise, statement.sql.c_str());
  std::abort();
}

inline void check_statement_text(const Statement& statement) {
  PgQuerySplitResult split = pg_query_split_with_parser(statement.sql.c_str());
  must(!split.error, "PostgreSQL parses what was accepted", statement);
  must(split.n_stmts == 1, "one statement", statement);
  pg_query_free_split_result(split);
  for (const Parameter& p : statement.parameters) {
    must(!p.text || p.text->find('\0') == std::string::npos, "no NUL in parameters", statement);
  }
  const std::string last = "$" + std::to_string(statement.parameters.size());
  const bool uses_last =
      statement.parameters.empty() || statement.sql.find(last) != std::string::npos;
  must(uses_last, "every parameter is used", statement);
  const std::string beyond = "$" + std::to_string(statement.parameters.size() + 1);
  must(statement.sql.find(beyond) == std::string::npos, "no parameter is missing", statement);
}

}  // namespace raymesh::storage
