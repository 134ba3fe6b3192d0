// Splits a migration's text into statements with PostgreSQL's own parser (libpg-query 15), so that
// what is checked is what the server will read: comments, quotes, dollar quotes and function bodies
// need no guessing. Pure; any thread, though each call starts and joins a thread of its own
// (below).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/result.hpp"

namespace raymesh::storage {

struct SqlStatement {
  std::string_view text;  // of the script; from its first token, without the semicolon
  size_t line = 1;        // of the script, where `text` begins
  std::string_view kind;  // the parse tree's node: "CreateStmt", "SelectStmt", ...
  std::string_view tree;  // the node's members as JSON, as libpg-query writes them
};

/// Views into the text that was split, which must outlive it.
struct SqlScript {
  std::vector<SqlStatement> statements;
  std::shared_ptr<const std::string> trees;  // keeps `kind` and `tree` alive
};

/// Errors: migration_failed with the line for what is no SQL; invalid_request for a NUL byte or
/// text that is not UTF-8. The parser writes its tree recursively, and the tree can be as deep as
/// the text is long (1+1+1+...), so it runs on a thread whose stack fits the text.
Result<SqlScript> split_sql(std::string_view sql);

/// The line, counted from 1, of a place counted in characters from 1.
size_t line_of_character(std::string_view text, int position);

}  // namespace raymesh::storage
