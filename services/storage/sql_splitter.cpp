#include "services/storage/sql_splitter.hpp"

#include <pg_query.h>
#include <pthread.h>

#include <algorithm>
#include <charconv>
#include <functional>

#include "libs/base/encoding.hpp"
#include "libs/base/json_reader.hpp"

namespace raymesh::storage {
namespace {

// Measured with libpg-query 15-4.0: about 120 bytes of stack per level of the tree, and at least
// two bytes of text per level ("+1").
constexpr size_t kStackPerByte = 256;
constexpr size_t kStackAtLeast = size_t{2} * 1024 * 1024;

struct ParseError {
  std::string message;
  int position = 0;  // in characters, from 1
};

/// Runs `work` on a thread with that much stack, of which only the part that is used costs memory.
bool run_with_stack(size_t bytes, std::function<void()> work) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  pthread_t thread{};
  const bool started = pthread_attr_setstacksize(&attributes, bytes) == 0 &&
                       pthread_create(
                           &thread, &attributes,
                           [](void* context) -> void* {
                             (*static_cast<std::function<void()>*>(context))();
                             return nullptr;
                           },
                           &work) == 0;
  pthread_attr_destroy(&attributes);
  if (started) pthread_join(thread, nullptr);
  return started;
}

void parse(const std::string& sql, std::string& tree, ParseError& error) {
  PgQueryParseResult result = pg_query_parse(sql.c_str());
  if (result.error) {
    error = {result.error->message, result.error->cursorpos};
  } else {
    tree = result.parse_tree;
  }
  pg_query_free_parse_result(result);
}

size_t skip_block_comment(std::string_view sql, size_t at) {
  int depth = 0;
  do {
    if (sql.substr(at, 2) == "/*") {
      ++depth;
      at += 2;
    } else if (sql.substr(at, 2) == "*/") {
      --depth;
      at += 2;
    } else {
      ++at;
    }
  } while (depth > 0 && at < sql.size());
  return at;
}

/// Behind white space and comments (PostgreSQL manual 4.1.5; block comments nest).
size_t skip_to_token(std::string_view sql, size_t at) {
  while (at < sql.size()) {
    const char c = sql[at];
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v') {
      ++at;
    } else if (sql.substr(at, 2) == "--") {
      at = std::min(sql.find_first_of("\n\r", at), sql.size());  // either ends it
    } else if (sql.substr(at, 2) == "/*") {
      at = skip_block_comment(sql, at);
    } else {
      break;
    }
  }
  return at;
}

size_t to_number(std::string_view digits) {
  size_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

/// Reads one member of the tree's "stmts":
/// {"stmt":{"<kind>":{...}},"stmt_location":n,"stmt_len":n}.
struct RawStatement {
  std::string_view kind;
  std::string_view tree;
  size_t location = 0;
  size_t length = 0;  // 0: up to the end
};
RawStatement read_raw_statement(const JsonValue& value) {
  RawStatement raw;
  std::string scratch;
  JsonMembers members(value);
  while (members.next()) {
    const std::string_view key = members.key(scratch);
    if (key == "stmt") {
      JsonMembers node(members.value());
      if (node.next()) {
        raw.kind = node.key(scratch);
        raw.tree = node.value().raw();
      }
    } else if (key == "stmt_location") {
      raw.location = to_number(members.value().raw());
    } else if (key == "stmt_len") {
      raw.length = to_number(members.value().raw());
    }
  }
  return raw;
}

std::vector<SqlStatement> read_statements(std::string_view sql, std::string_view tree) {
  std::vector<SqlStatement> statements;
  std::string scratch;
  size_t counted_to = 0;
  size_t line = 1;
  JsonMembers top{JsonValue(tree)};
  while (top.next()) {
    if (top.key(scratch) != "stmts") continue;
    JsonMembers members(top.value());
    while (members.next()) {
      const RawStatement raw = read_raw_statement(members.value());
      const size_t end = raw.length == 0 ? sql.size() : raw.location + raw.length;
      const size_t begin = std::min(skip_to_token(sql, raw.location), end);
      line += static_cast<size_t>(std::count(sql.begin() + static_cast<ptrdiff_t>(counted_to),
                                             sql.begin() + static_cast<ptrdiff_t>(begin), '\n'));
      counted_to = begin;
      statements.push_back({sql.substr(begin, end - begin), line, raw.kind, raw.tree});
    }
  }
  return statements;
}

}  // namespace

size_t line_of_character(std::string_view text, int position) {
  size_t line = 1;
  int characters = 1;
  for (char c : text) {
    if ((static_cast<unsigned char>(c) & 0xC0) == 0x80) continue;  // inside a UTF-8 character
    if (characters++ >= position) break;
    if (c == '\n') ++line;
  }
  return line;
}

Result<SqlScript> split_sql(std::string_view sql) {
  if (sql.find('\0') != std::string_view::npos || !is_valid_utf8(sql)) {
    return Error(errors::kInvalidRequest, "sql must be UTF-8 text without NUL bytes");
  }
  const std::string text(sql);
  auto tree = std::make_shared<std::string>();
  ParseError error;
  if (!run_with_stack(kStackAtLeast + kStackPerByte * sql.size(),
                      [&] { parse(text, *tree, error); })) {
    return Error(errors::kOverloaded, "no memory to parse the migration", std::chrono::seconds(1));
  }
  if (!error.message.empty()) {
    return Error(
        errors::kMigrationFailed,
        "line " + std::to_string(line_of_character(sql, error.position)) + ": " + error.message);
  }
  SqlScript script;
  script.statements = read_statements(sql, *tree);
  script.trees = std::move(tree);
  return script;
}

}  // namespace raymesh::storage
