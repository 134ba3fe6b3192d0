#include "libs/rpc/project_counts.hpp"

namespace raymesh::rpc {

Status ProjectCounts::admit(std::string_view project) {
  if (project.empty()) return ok_status();
  std::lock_guard lock(mutex_);
  auto it = counts_.find(project);
  if (it == counts_.end()) it = counts_.emplace(std::string(project), 0).first;
  if (it->second >= max_)
    return Error(errors::kOverloaded,
                 "project " + std::string(project) + " has " + std::to_string(max_) +
                     " calls in flight, the most that one may have",
                 std::chrono::milliseconds(100));
  ++it->second;
  return ok_status();
}

void ProjectCounts::release(std::string_view project) {
  if (project.empty()) return;
  std::lock_guard lock(mutex_);
  auto it = counts_.find(project);
  if (it == counts_.end()) return;
  if (--it->second == 0 && counts_.size() > kKept) counts_.erase(it);
}

}  // namespace raymesh::rpc
