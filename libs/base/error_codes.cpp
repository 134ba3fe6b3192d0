#include "libs/base/error_codes.hpp"

#include <algorithm>
#include <array>
#include <unordered_map>

namespace raymesh::errors {

std::span<const ErrorKind> all() {
  static constexpr std::array kAll = {
#define RAYMESH_LIST_ERROR(name, code, status, http, meaning) name,
      RAYMESH_ERRORS(RAYMESH_LIST_ERROR)
#undef RAYMESH_LIST_ERROR
  };
  return kAll;
}

const ErrorKind* find(std::string_view code) {
  static const auto* index = [] {
    auto* map = new std::unordered_map<std::string_view, const ErrorKind*>;
    for (const ErrorKind& kind : all()) map->emplace(kind.code, &kind);
    return map;
  }();
  auto it = index->find(code);
  return it == index->end() ? nullptr : it->second;
}

}  // namespace raymesh::errors
