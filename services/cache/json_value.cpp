#include "services/cache/json_value.hpp"

#include <simdjson.h>

namespace raymesh::cache {

Status check_json(std::string_view json, size_t max_bytes, std::string_view what) {
  if (json.size() > max_bytes)
    return Error(errors::kValueTooLarge, std::string(what) + " has " + std::to_string(json.size()) +
                                             " bytes; at most " + std::to_string(max_bytes) +
                                             " are allowed");
  thread_local simdjson::dom::parser parser;
  if (parser.parse(json.data(), json.size()).error() != simdjson::SUCCESS)
    return Error(errors::kInvalidJson, std::string(what) + " is not a JSON value");
  return ok_status();
}

}  // namespace raymesh::cache
