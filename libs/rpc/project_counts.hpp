// How many calls each project has in flight, so that one cannot take all the room. Thread-safe; one
// short lock.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "libs/base/result.hpp"

namespace raymesh::rpc {

class ProjectCounts {
 public:
  explicit ProjectCounts(size_t max_per_project) : max_(max_per_project) {}

  /// Errors: `overloaded`. Calls that concern no project are not counted.
  Status admit(std::string_view project);
  void release(std::string_view project);

 private:
  // Projects that have nothing in flight are kept up to this many, so that a call costs no
  // allocation.
  static constexpr size_t kKept = 4'096;

  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };

  const size_t max_;
  std::mutex mutex_;
  std::unordered_map<std::string, size_t, Hash, std::equal_to<>> counts_;
};

}  // namespace raymesh::rpc
