// From a JSON value to the text of a PostgreSQL parameter, by the column's type. Every pair of JSON
// kind and column type is either written in PostgreSQL's input syntax or refused; whether the text
// is a value of the type (a uuid, an enum's label, a number in range) is PostgreSQL's to say. Pure
// functions, any thread.
//
// | column           | accepts                                                                    |
// |------------------|----------------------------------------------------------------------------|
// | any              | null                                                                       |
// | text and alike   | string; number, as it was written                                          |
// | int2, int4, int8 | integral number of any length (1e3 and 2.0 too); string                    |
// | other numbers    | number with all its digits; string                                         |
// | bool             | true, false, 0, 1; "t", "true", "y", "yes", "on", "1" and their opposites  |
// | date, timestamps | string; number of milliseconds since 1970 UTC                              |
// | json, jsonb      | array, object, number, boolean: their own text; a string that is JSON text |
// |                  | itself counts as that text, any other as a JSON string                     |
// | bytea            | string of base64 (RFC 4648 section 4), as results show it                  |
// | array types      | array, nested for more dimensions, null for NULL; a string in PostgreSQL's |
// |                  | own array syntax                                                           |
// | every other type | string                                                                     |
#pragma once

#include <optional>
#include <string>

#include "libs/base/json_reader.hpp"
#include "libs/base/result.hpp"
#include "services/storage/table_info.hpp"

namespace raymesh::storage {

/// The parameter's text, nullopt for null. Error: invalid_value, naming column and kind.
Result<std::optional<std::string>> bind_value(const Column& column, const JsonValue& value);

/// The members of a JSON array, each bound to the column's (not array) type, as one PostgreSQL
/// array: for `= ANY($1)`. Takes what it uses from `budget`; invalid_filter when that is not
/// enough.
Result<std::string> bind_list(const Column& column, const JsonValue& list, size_t& budget);

/// True for a number that is no integer: it cannot be compared as an int.
bool is_fraction(const JsonValue& value);

bool is_integer_type(uint32_t type_oid);

}  // namespace raymesh::storage
