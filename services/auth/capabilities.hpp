// The names of what a project can do, as GET /api/v1/info answers them (docs/capabilities.md). The
// names are part of the public API: never renamed, only added to. Constants; any thread.
#pragma once

#include <array>
#include <string_view>

namespace raymesh::auth {

struct Capability {
  std::string_view name;
  bool available;  // in this version of raymesh
};

inline constexpr std::array kCapabilities = {
    Capability{"database", true},       Capability{"migrate", true},   Capability{"auth", true},
    Capability{"storage", false},       Capability{"cache", true},     Capability{"realtime", true},
    Capability{"notifications", false}, Capability{"payments", false},
};

/// What a key with this role may use (empty: all rights in the project). Changing the schema takes
/// the role admin or owner.
constexpr bool has_capability(const Capability& capability, std::string_view role) {
  if (capability.name == "migrate" && !role.empty() && role != "admin" && role != "owner")
    return false;
  return capability.available;
}

}  // namespace raymesh::auth
