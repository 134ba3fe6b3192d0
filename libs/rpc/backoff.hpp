// Pauses between attempts to connect: 50 ms doubling to 1 s, each between half and all of that, so
// that callers of one service do not come back in step. A value; its owner guards it.
#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace raymesh::rpc {

class Backoff {
 public:
  static constexpr std::chrono::milliseconds kFirst{50};
  static constexpr std::chrono::milliseconds kMost{1'000};

  std::chrono::milliseconds next() {
    thread_local std::minstd_rand generator{std::random_device{}()};
    const auto whole = current_;
    current_ = std::min(current_ * 2, kMost);
    std::uniform_int_distribution<int64_t> pause(whole.count() / 2, whole.count());
    return std::chrono::milliseconds(pause(generator));
  }
  void reset() { current_ = kFirst; }

 private:
  std::chrono::milliseconds current_ = kFirst;
};

}  // namespace raymesh::rpc
