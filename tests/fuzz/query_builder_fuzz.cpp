// The whole options object; the first byte chooses the operation.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "services/storage/query_builder.hpp"
#include "tests/fuzz/storage_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace raymesh::storage;
  if (size == 0) return 0;
  const auto operation = static_cast<Operation>(data[0] % 6);
  const std::string_view options(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto statement = build_query(operation, fuzz_table(), options);
  if (statement.ok()) check_statement_text(*statement);
  return 0;
}
