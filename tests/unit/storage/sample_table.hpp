// The table that the query builder's tests ask for.
#pragma once

#include "services/storage/table_info.hpp"

namespace raymesh::storage {

inline const TableInfo& sample_table() {
  constexpr uint32_t kTextArray = 1009;
  constexpr uint32_t kJsonbArray = 3807;
  constexpr uint32_t kInt4Array = 1007;
  constexpr uint32_t kByteaArray = 1001;
  constexpr uint32_t kTimestampArray = 1115;
  constexpr uint32_t kBoolArray = 1000;
  constexpr uint32_t kMood = 16'400;  // an enum
  static const TableInfo kTable = {"p_dev",
                                   "things",
                                   {{"id", oid::kInt4, 0, 'N', 0, true},
                                    {"big", oid::kInt8, 0, 'N'},
                                    {"small", oid::kInt2, 0, 'N'},
                                    {"ratio", oid::kFloat8, 0, 'N'},
                                    {"price", oid::kNumeric, 0, 'N'},
                                    {"name", oid::kText, 0, 'S'},
                                    {"code", oid::kVarchar, 0, 'S'},
                                    {"done", oid::kBool, 0, 'B'},
                                    {"meta", oid::kJsonb, 0, 'U'},
                                    {"raw", oid::kJson, 0, 'U'},
                                    {"day", oid::kDate, 0, 'D'},
                                    {"made", oid::kTimestamp, 0, 'D'},
                                    {"at", oid::kTimestamptz, 0, 'D'},
                                    {"clock", oid::kTime, 0, 'D'},
                                    {"bytes", oid::kBytea, 0, 'U'},
                                    {"uid", oid::kUuid, 0, 'U'},
                                    {"mood", kMood, 0, 'E'},
                                    {"tags", kTextArray, oid::kText, 'A', 'S'},
                                    {"grid", kInt4Array, oid::kInt4, 'A', 'N'},
                                    {"docs", kJsonbArray, oid::kJsonb, 'A', 'U'},
                                    {"blobs", kByteaArray, oid::kBytea, 'A', 'U'},
                                    {"times", kTimestampArray, oid::kTimestamp, 'A', 'D'},
                                    {"flags", kBoolArray, oid::kBool, 'A', 'B'},
                                    {"we\"ird co", oid::kText, 0, 'S'}}};
  return kTable;
}

}  // namespace raymesh::storage
