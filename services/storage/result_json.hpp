// PostgreSQL's rows as JSON, written once and straight into the reply's buffer. What each type
// becomes is the table in semantics of the database API: integers and floats are numbers (an int8
// only up to 2^53-1, beyond it a string), numeric is a string, date and timestamps are ISO 8601 in
// UTC with milliseconds, json and arrays are native, bytea is base64, everything else is the text
// that PostgreSQL shows. Pure; any thread, each with its own buffer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libs/pg/wire.hpp"
#include "services/storage/table_info.hpp"

namespace raymesh::storage {

/// How the values of one type are written.
enum class JsonForm : uint8_t {
  kString,
  kNumber,  // digits that JavaScript's numbers hold exactly
  kInt8,
  kFloat,
  kBool,
  kJson,
  kDate,
  kTimestamp,  // with or without time zone
  kBytea,
};

JsonForm json_form(uint32_t type_oid);

struct ColumnPlan {
  std::string key;  // `"name":`
  JsonForm form = JsonForm::kString;
  bool is_array = false;  // of values in `form`
};

/// How the rows of one statement are written; made once per statement.
struct RowPlan {
  std::vector<ColumnPlan> columns;
  int id_column = -1;  // the column named "id"
};

/// `table` tells the types that are not built in (arrays of enums).
RowPlan make_row_plan(std::span<const pg::ResultColumn> columns, const TableInfo& table);

/// {"a":1,...}
void append_row(std::string& out, const RowPlan& plan, std::span<const pg::Field> fields);

/// One value.
void append_value(std::string& out, const ColumnPlan& column, const pg::Field& field);

}  // namespace raymesh::storage
