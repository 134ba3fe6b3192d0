// Which statements a migration may contain. What a project may do is decided by PostgreSQL, because
// a migration runs as the project's own role; this list refuses, before anything runs and by name,
// what could leave our transaction, change the login, reach the server's files or never work. It
// reads the parse tree with everything nested in it (EXPLAIN, rules, function options), and knows
// what is allowed, so that a statement nobody thought of is refused. Pure functions, any thread.
#pragma once

#include "libs/base/result.hpp"
#include "services/storage/sql_splitter.hpp"

namespace raymesh::storage {

/// forbidden_statement, naming the statement and the reason; the message has no line number.
Status check_statement(const SqlStatement& statement);

}  // namespace raymesh::storage
