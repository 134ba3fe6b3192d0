#include "services/storage/idempotency.hpp"

#include <algorithm>
#include <charconv>

#include "libs/base/encoding.hpp"
#include "libs/base/json_reader.hpp"
#include "libs/base/json_writer.hpp"
#include "libs/crypto/hash.hpp"
#include "services/storage/identifiers.hpp"
#include "services/storage/where_builder.hpp"

namespace raymesh::storage {
namespace {

// What `form` says beside the columns of an inserted row.
constexpr std::string_view kCountForm = "count";

/// The columns that an insert answers with; those of the table where they may have to stand for its
/// id.
std::vector<const Column*> inserted_columns(const TableInfo& table) {
  const Column* id = table.find("id");
  if (id && id->not_null) return {id};
  std::vector<const Column*> all;
  for (const Column& column : table.columns) all.push_back(&column);
  return all;
}

/// [["id",23],...]: name and type, which a reader needs to make the same JSON of the same texts.
std::string form_of(const std::vector<const Column*>& columns) {
  std::string out = "[";
  for (const Column* column : columns) {
    if (out.size() > 1) out += ',';
    out += '[';
    json::append_string(out, column->name);
    out += ',' + std::to_string(column->type_oid) + ']';
  }
  return out + ']';
}

void append_names(std::string& sql, const std::vector<const Column*>& columns) {
  bool first = true;
  for (const Column* column : columns) {
    if (!first) sql += ", ";
    first = false;
    append_identifier(sql, column->name);
  }
}

Status append_keep(Statement& statement, const IdempotencyKey& key, std::string form) {
  statement.sql += "raymesh_storage.keep_result(";
  RAYMESH_CHECK_OK(add_parameter(statement, key.user));
  statement.sql += ", ";
  RAYMESH_CHECK_OK(add_parameter(statement, key.key));
  statement.sql += ", ";
  RAYMESH_CHECK_OK(add_parameter(statement, key.hash));
  statement.sql += ", ";
  return add_parameter(statement, std::move(form));
}

// The rows lie in a CTE, so that they can be read twice. The condition on `kept` is of no row, so
// it is looked at first, also when no row was inserted.
Status keep_inserted(Statement& statement, const TableInfo& table, const IdempotencyKey& key) {
  const auto columns = inserted_columns(table);
  std::string& sql = statement.sql;
  sql.resize(statement.returning);
  sql = "WITH work AS (" + sql + " RETURNING ";
  append_names(sql, columns);
  sql += "), kept AS MATERIALIZED (SELECT ";
  RAYMESH_CHECK_OK(append_keep(statement, key, form_of(columns)));
  // format() writes as a result has it, where a cast to text does not (a boolean).
  sql += ", (SELECT pg_catalog.array_to_json(ARRAY[";
  bool first = true;
  for (const Column* column : columns) {
    if (!first) sql += ", ";
    first = false;
    sql += "CASE WHEN ";
    append_identifier(sql, column->name);
    sql += " IS NOT DISTINCT FROM NULL THEN NULL ELSE pg_catalog.format('%s', ";
    append_identifier(sql, column->name);
    sql += ") END";
  }
  sql += "])::pg_catalog.text FROM work)) AS ok) SELECT ";
  append_names(sql, columns);
  sql += " FROM work WHERE (SELECT ok FROM kept)";
  return ok_status();
}

Status keep_count(Statement& statement, const IdempotencyKey& key) {
  std::string& sql = statement.sql;
  sql = "WITH work AS (" + sql +
        " RETURNING 1), counted AS MATERIALIZED (SELECT pg_catalog.count(*) AS n FROM work)"
        " SELECT n FROM counted WHERE ";
  RAYMESH_CHECK_OK(append_keep(statement, key, std::string(kCountForm)));
  sql += ", n::pg_catalog.text)";
  statement.shape = ResultShape::kCountObject;
  return ok_status();
}

bool read_columns(std::string_view form, std::vector<pg::ResultColumn>& out) {
  const auto root = parse_json(form);
  if (!root || !root->is(JsonKind::kArray)) return false;
  std::string scratch;
  for (JsonMembers columns(*root); columns.next();) {
    if (!columns.value().is(JsonKind::kArray)) return false;
    JsonMembers parts(columns.value());
    pg::ResultColumn column;
    if (!parts.next() || !parts.value().is(JsonKind::kString)) return false;
    column.name = parts.value().text(scratch);
    if (!parts.next() || !parts.value().is(JsonKind::kNumber)) return false;
    const std::string_view oid = parts.value().raw();
    if (std::from_chars(oid.data(), oid.data() + oid.size(), column.type_oid).ec != std::errc())
      return false;
    out.push_back(std::move(column));
  }
  return true;
}

}  // namespace

Status check_idempotency_key(std::string_view key) {
  const bool good = !key.empty() && key.size() <= kMaxIdempotencyKey &&
                    std::all_of(key.begin(), key.end(), [](char c) { return c >= ' ' && c < 127; });
  if (good) return ok_status();
  return Error(errors::kInvalidRequest, "the idempotency key has " + std::to_string(key.size()) +
                                            " bytes; it must have 1 to " +
                                            std::to_string(kMaxIdempotencyKey) +
                                            " characters of ASCII, none of control");
}

std::string request_hash(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) {
    text += std::to_string(part.size()) + ':';
    text += part;
  }
  return hex_encode(crypto::sha256(text));
}

Status keep_result(Statement& statement, const TableInfo& table, const IdempotencyKey& key) {
  if (statement.shape == ResultShape::kInsertedId) return keep_inserted(statement, table, key);
  return keep_count(statement, key);
}

pg::Parameters read_kept_parameters(const IdempotencyKey& key) {
  pg::Parameters out;
  out.add(oid::kText, key.user);
  out.add(oid::kText, key.key);
  return out;
}

std::optional<KeptResult> read_kept(std::string_view hash, std::string_view form,
                                    std::optional<std::string_view> result) {
  KeptResult out;
  out.hash = hash;
  if (form == kCountForm) {
    if (!result) return std::nullopt;
    out.shape = ResultShape::kCountObject;
    out.columns = {{"n", oid::kInt8}};
    out.values = {std::string(*result)};
    out.has_row = true;
    return out;
  }
  if (!read_columns(form, out.columns)) return std::nullopt;
  if (!result) return out;  // no row was inserted
  const auto values = parse_json(*result);
  if (!values || !values->is(JsonKind::kArray)) return std::nullopt;
  std::string scratch;
  for (JsonMembers value(*values); value.next();) {
    if (value.value().is(JsonKind::kNull))
      out.values.emplace_back();
    else
      out.values.emplace_back(value.value().text(scratch));
  }
  if (out.values.size() != out.columns.size()) return std::nullopt;
  out.has_row = true;
  return out;
}

std::string migration_result(uint32_t statements, const std::vector<std::string>& warnings) {
  std::string out;
  json::Object o(out);
  o.integer("statements", statements);
  std::string& list = o.key("warnings") += '[';
  for (const std::string& warning : warnings) {
    if (list.back() != '[') list += ',';
    json::append_string(list, warning);
  }
  list += ']';
  o.end();
  return out;
}

bool read_migration_result(std::string_view result, uint32_t& statements,
                           std::vector<std::string>& warnings) {
  const auto root = parse_json(result);
  if (!root || !root->is(JsonKind::kObject)) return false;
  std::string scratch;
  bool has_statements = false;
  for (JsonMembers members(*root); members.next();) {
    const std::string_view name = members.key(scratch);
    const JsonValue value = members.value();
    if (name == "statements" && value.is(JsonKind::kNumber)) {
      const std::string_view text = value.raw();
      const auto read = std::from_chars(text.data(), text.data() + text.size(), statements);
      has_statements = read.ec == std::errc();
    }
    if (name != "warnings" || !value.is(JsonKind::kArray)) continue;
    for (JsonMembers items(value); items.next();)
      warnings.emplace_back(items.value().text(scratch));
  }
  return has_statements;
}

Error key_conflict(std::string_view key) {
  return Error(errors::kIdempotencyConflict,
               "the idempotency key '" + std::string(key) + "' was used for another request");
}

}  // namespace raymesh::storage
