// How many threads are worth having: what a service takes where its configuration says "one per
// core". Any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

namespace raymesh {

/// At least 1: the cores that this process may run on, but no more than its control groups (v2) let
/// it use. A container with a limit of two cores on a machine of 64 gets 2.
size_t available_cores();

/// For available_cores() and its tests. `membership`: as /proc/self/cgroup has it; `root`: where
/// the control groups are mounted. The smallest limit of the group and of those above it, rounded
/// up to whole cores; 0: none.
size_t core_limit(std::string_view membership, const std::filesystem::path& root);

}  // namespace raymesh
