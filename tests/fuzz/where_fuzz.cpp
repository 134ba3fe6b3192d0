// A where clause alone, in the three statements it can stand in. Update and delete must refuse one
// that find runs without a condition.
#include <cstddef>
#include <cstdint>
#include <string>

#include "services/storage/query_builder.hpp"
#include "tests/fuzz/storage_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace raymesh::storage;
  const std::string where(reinterpret_cast<const char*>(data), size);
  const std::string options = "{\"where\":" + where + "}";
  const auto find = build_query(Operation::kFindFirst, fuzz_table(), options);
  const auto remove = build_query(Operation::kDelete, fuzz_table(), options);
  const auto update = build_query(Operation::kUpdate, fuzz_table(),
                                  "{\"data\":{\"s\":\"x\"},\"where\":" + where + "}");
  if (remove.ok()) {
    check_statement_text(*remove);
    must(remove->sql.find(" WHERE ") != std::string::npos, "delete has a condition", *remove);
  }
  if (update.ok()) {
    check_statement_text(*update);
    must(update->sql.find(" WHERE ") != std::string::npos, "update has a condition", *update);
  }
  if (!find.ok()) return 0;
  check_statement_text(*find);
  const bool is_bounded = find->sql.find(" WHERE ") != std::string::npos;
  must(is_bounded == remove.ok(), "delete takes just the conditions that bound a find", *find);
  return 0;
}
