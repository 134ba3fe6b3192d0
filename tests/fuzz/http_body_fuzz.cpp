// The body of POST /api/v1/db, all the way to SQL: what the gateway takes apart, storage builds a
// query from. The check of JSON must agree with simdjson's parser.
#include <simdjson.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "services/gateway/request_body.hpp"
#include "services/storage/query_builder.hpp"
#include "tests/fuzz/storage_fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace raymesh;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const bool accepted = parse_json(text, gateway::kBodyRules).has_value();
  static simdjson::dom::parser parser(1 << 20);
  const auto error = parser.parse(simdjson::padded_string(text)).error();
  // simdjson refuses numbers that fit no 64-bit type and lone surrogates, and nests deeper.
  const bool may_differ =
      error == simdjson::NUMBER_ERROR || error == simdjson::STRING_ERROR || size == 0;
  if (accepted && error != simdjson::SUCCESS && !may_differ) std::abort();
  if (!accepted && error == simdjson::SUCCESS && text.find(std::string(100, '[')) == text.npos &&
      std::count(text.begin(), text.end(), '[') + std::count(text.begin(), text.end(), '{') < 100)
    std::abort();

  auto body = gateway::read_db_body(text);
  if (!body.ok()) return 0;
  if (!accepted) std::abort();
  if (!body->options.empty() && !parse_json(body->options, gateway::kBodyRules)) std::abort();
  const auto operation = storage::parse_operation(body->operation);
  if (!operation.ok()) return 0;
  const auto statement = storage::build_query(*operation, storage::fuzz_table(), body->options);
  if (statement.ok()) storage::check_statement_text(*statement);
  return 0;
}
