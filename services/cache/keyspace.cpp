#include "services/cache/keyspace.hpp"

#include <algorithm>

namespace raymesh::cache {
namespace {

// As pg::is_valid_project_id has it; what matters here is that no colon and no character that SCAN
// gives a meaning to passes.
bool is_project(std::string_view id) {
  return !id.empty() && id.size() <= 63 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

std::string join(std::string_view kind, std::string_view project, std::string_view rest) {
  std::string name;
  name.reserve(kind.size() + project.size() + rest.size());
  return name.append(kind).append(project).append(rest);
}

}  // namespace

std::string entry_name(std::string_view project, std::string_view key) {
  std::string name;
  name.reserve(project.size() + key.size() + 3);
  return name.append("v:").append(project).append(1, ':').append(key);
}

std::string usage_name(std::string_view project) {
  return join("u:", project, "");
}

std::string entries_pattern(std::string_view project) {
  return join("v:", project, ":*");
}

std::string session_name(std::string_view session_id) {
  return join("rs:", session_id, "");
}

std::string lost_name(std::string_view owner) {
  return join("rs-lost:", owner, "");
}

Status check_entry(std::string_view project, std::string_view key) {
  if (project.empty()) return Error(errors::kInvalidRequest, "the call names no project");
  if (!is_project(project)) return Error(errors::kInvalidRequest, "the project's id is not one");
  if (key.empty()) return Error(errors::kInvalidRequest, "key is required");
  if (key.size() > kMaxKeyBytes)
    return Error(errors::kInvalidRequest, "the key has " + std::to_string(key.size()) +
                                              " bytes; at most " + std::to_string(kMaxKeyBytes) +
                                              " are allowed");
  return ok_status();
}

Status check_ttl(uint64_t seconds) {
  if (seconds <= kMaxTtlSeconds) return ok_status();
  return Error(errors::kInvalidRequest, "ttl is above " + std::to_string(kMaxTtlSeconds) +
                                            " seconds (ten years); leave it out for no end");
}

}  // namespace raymesh::cache
