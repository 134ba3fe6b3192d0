// How the entries of projects are named in Redis, and what is refused before Redis sees it. Pure,
// any thread.
//
//   v:<project>:<key>    an entry of a project
//   u:<project>          bytes that the project's entries use on this primary, by estimate
//   lease:<bucket>       a token bucket (in the store `state`)
//   rs:<session>         a raystream session: generation, version, owner, state (in `state`)
//   rs-lost:<gateway>    a stream of the sessions that a gateway has lost to others (in `state`)
//
// A project's id has no colon, so the part up to the second colon names exactly one project,
// whatever bytes the key has.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "libs/base/result.hpp"

namespace raymesh::cache {

inline constexpr size_t kMaxKeyBytes = 512;
inline constexpr uint64_t kMaxTtlSeconds = 10ull * 366 * 24 * 3600;

std::string entry_name(std::string_view project, std::string_view key);
std::string usage_name(std::string_view project);
/// Glob pattern (Redis SCAN MATCH) of all entries of a project.
std::string entries_pattern(std::string_view project);

std::string session_name(std::string_view session_id);
std::string lost_name(std::string_view owner);

/// invalid_request: a project that is none, an empty or too long key.
Status check_entry(std::string_view project, std::string_view key);
/// invalid_request above kMaxTtlSeconds.
Status check_ttl(uint64_t seconds);

}  // namespace raymesh::cache
