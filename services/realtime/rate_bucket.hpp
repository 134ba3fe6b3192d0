// A token bucket in 16 bytes: `rate` per second, at most `burst` at once. Pure; one owner.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace raymesh::realtime {

class RateBucket {
 public:
  using Clock = std::chrono::steady_clock;

  /// Takes one token; false when there is none. A rate of 0 allows everything.
  bool take(double rate, double burst, Clock::time_point now) {
    if (rate <= 0) return true;
    if (filled_ == Clock::time_point{}) {
      tokens_ = burst;
    } else {
      const double seconds = std::chrono::duration<double>(now - filled_).count();
      tokens_ = std::min(burst, tokens_ + seconds * rate);
    }
    filled_ = now;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  double tokens_ = 0;
  Clock::time_point filled_{};
};

}  // namespace raymesh::realtime
