// What comes from a PostgreSQL server: framing, rows, descriptions, errors, and the texts of values
// on their way to JSON. Nothing may crash; every value must become well-formed JSON, json columns
// excepted (their text is PostgreSQL's word).
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "libs/base/json_reader.hpp"
#include "libs/pg/wire.hpp"
#include "services/storage/result_json.hpp"

namespace {

void check_values(std::string_view text) {
  using namespace raymesh;
  namespace oid = storage::oid;
  for (uint32_t type : {oid::kText, oid::kInt4, oid::kInt8, oid::kFloat8, oid::kBool, oid::kDate,
                        oid::kTimestamptz, oid::kBytea}) {
    for (bool is_array : {false, true}) {
      std::string out;
      storage::append_value(out, {"", storage::json_form(type), is_array},
                            {text.data(), text.size()});
      if (type == oid::kFloat8) continue;  // any digits that start like a number pass
      if (!parse_json(out)) {
        std::fprintf(stderr, "not JSON: %s\n", out.c_str());
        std::abort();
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace raymesh::pg;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check_values(bytes);
  MessageReader reader(1'000);
  std::vector<Field> fields;
  std::vector<ResultColumn> columns;
  while (!bytes.empty()) {
    const size_t step = std::min<size_t>(bytes.size(), 1 + static_cast<uint8_t>(bytes[0]) % 64);
    const auto room = reader.prepare(step);
    std::copy_n(bytes.begin(), step, room.begin());
    reader.commit(step);
    bytes.remove_prefix(step);
    MessageReader::Message message;
    MessageReader::Next next;
    while ((next = reader.next(message)) == MessageReader::Next::kMessage) {
      if (parse_data_row(message.body, fields)) {
        for (const Field& f : fields) {
          if (!f.is_null()) check_values(f.text());
        }
      }
      (void)parse_row_description(message.body, columns);
      (void)parse_error(message.body);
      (void)parse_affected(message.body);
    }
    if (next == MessageReader::Next::kMalformed) break;
  }
  return 0;
}
