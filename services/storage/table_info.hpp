// What the storage service knows about one table of a project: its columns and their types, as the
// type cache read them from the catalog. An immutable value, shared by reference; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace raymesh::storage {

/// Object ids of PostgreSQL's built-in types (pg_type.dat; they never change between versions).
namespace oid {
inline constexpr uint32_t kBool = 16, kBytea = 17, kChar = 18, kName = 19, kInt8 = 20, kInt2 = 21,
                          kInt4 = 23, kText = 25, kOid = 26, kJson = 114, kXml = 142, kFloat4 = 700,
                          kFloat8 = 701, kMoney = 790, kBpchar = 1042, kVarchar = 1043,
                          kDate = 1082, kTime = 1083, kTimestamp = 1114, kTimestamptz = 1184,
                          kInterval = 1186, kTimetz = 1266, kNumeric = 1700, kUuid = 2950,
                          kJsonb = 3802;
}  // namespace oid

struct Column {
  std::string name;
  /// pg_attribute.atttypid, a domain followed down to its base type (pg_type.typbasetype).
  uint32_t type_oid = 0;
  /// For an array type (typcategory 'A', typlen -1) its element type (typelem, domains followed);
  /// else 0.
  uint32_t element_oid = 0;
  /// pg_type.typcategory of the base type: 'S' string, 'N' number, 'E' enum, 'A' array, ...
  char category = 0;
  /// pg_type.typcategory of the element type of an array, else 0.
  char element_category = 0;
  /// pg_attribute.attnotnull.
  bool not_null = false;

  bool is_json() const { return type_oid == oid::kJson || type_oid == oid::kJsonb; }
  bool is_array() const { return element_oid != 0; }
};

struct TableInfo {
  std::string schema;  // "p_dev"
  std::string name;    // as the catalog spells it, not quoted
  std::vector<Column> columns;

  /// The column with exactly this name, or nullptr.
  const Column* find(std::string_view column) const {
    for (const Column& c : columns) {
      if (c.name == column) return &c;
    }
    return nullptr;
  }
};

}  // namespace raymesh::storage
