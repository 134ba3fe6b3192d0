// A migration's text. What comes out must cover it in order, and the policy must answer.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/storage/sql_splitter.hpp"
#include "services/storage/statement_policy.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace raymesh::storage;
  const std::string_view sql(reinterpret_cast<const char*>(data), size);
  const auto script = split_sql(sql);
  if (!script.ok()) return 0;
  const char* at = sql.data();
  for (const SqlStatement& statement : script->statements) {
    const bool in_order = statement.text.data() >= at &&
                          statement.text.data() + statement.text.size() <= sql.data() + size;
    if (!in_order || statement.text.empty() || statement.kind.empty()) std::abort();
    at = statement.text.data() + statement.text.size();
    (void)check_statement(statement).ok();
  }
  return 0;
}
