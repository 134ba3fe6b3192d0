// How often and after what pause something is tried once more (protocol page, "Retrying"). Any
// thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace raymesh::client {

inline constexpr int kTries = 3;

/// A random time between 0 and min(100 ms * 2^attempt, 10 s).
inline std::chrono::milliseconds backoff(int attempt) {
  thread_local std::minstd_rand random{std::random_device{}()};
  const int64_t most = std::min<int64_t>(int64_t{100} << std::min(attempt, 10), 10'000);
  return std::chrono::milliseconds(std::uniform_int_distribution<int64_t>(0, most)(random));
}

}  // namespace raymesh::client
